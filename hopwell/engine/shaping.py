"""What a request does to its logits before a token is drawn: bias, penalties, grammar, tokens that may not come yet."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from hopwell.engine.core import SamplingParams
from hopwell.engine.grammar import GrammarState, Mark


class Shaper:
    """One sequence's edits to its logits. It sees the tokens as the runner does, drafts included."""

    def __init__(
        self,
        params: SamplingParams,
        prompt: list[int],
        answer: list[int],
        ends: list[int],
        grammar: GrammarState | None,
    ) -> None:
        """
        Args:
            answer: what was generated before, if the sequence was preempted.
            ends: tokens that end the sequence, and may not come before `min_tokens` are out.
        """
        self.params, self.grammar, self._ends = params, grammar, ends
        self._answered = len(answer)
        self._counts = Counter(answer)
        self._prompt = torch.tensor(sorted(set(prompt)), dtype=torch.int64)
        self._bias = torch.tensor(list(params.logit_bias), dtype=torch.int64)
        self._bias_by = torch.tensor(list(params.logit_bias.values()), dtype=torch.float32)
        if grammar is not None:
            grammar.restart(answer)

    @staticmethod
    def needed(params: SamplingParams) -> bool:
        """Whether these parameters touch the logits at all."""
        return bool(params.logit_bias or params.penalised or params.constrained or params.min_tokens)

    def edit(self, logits: Tensor, drafts: list[int]) -> None:
        """Edits in place the logits of the next token and of those after each draft.

        Args:
            logits: float32 [1 + drafts, vocabulary]; row i follows the first i drafts. Rows after a draft that the
                grammar forbids are left alone: that draft will not be drawn, so they do not count.
        """
        marks: list[Mark] = []
        for i in range(len(logits)):
            self._edit_row(logits[i], drafts[:i])
            if self.grammar is not None and i < len(drafts):
                mark = self.grammar.push(drafts[i])
                if mark is None:
                    break
                marks.append(mark)
        if self.grammar is not None:
            self.grammar.pop(marks)

    def accept(self, tokens: list[int]) -> None:
        """Follows the tokens drawn."""
        self._answered += len(tokens)
        if self.params.penalised:
            self._counts.update(tokens)
        if self.grammar is not None:
            for token in tokens:
                self.grammar.push(token)

    def _edit_row(self, row: Tensor, drafts: list[int]) -> None:
        p = self.params
        if p.penalised:
            self._penalise(row, drafts)
        if len(self._bias):
            row.index_add_(0, self._bias.to(row.device), self._bias_by.to(row.device))
        if self._answered + len(drafts) < p.min_tokens:
            row[self._ends] = float("-inf")
        if self.grammar is not None:
            row.masked_fill_(torch.from_numpy(~self.grammar.allowed()).to(row.device), float("-inf"))
            if not self.grammar.active:
                row[self._ends] = float("-inf")  # ending before the grammar holds would leave it unmet

    def _penalise(self, row: Tensor, drafts: list[int]) -> None:
        p = self.params
        counts = self._counts + Counter(drafts) if drafts else self._counts
        answer = torch.tensor(list(counts), dtype=torch.int64, device=row.device)
        if p.repetition_penalty != 1.0:
            seen = torch.cat((self._prompt.to(row.device), answer)).unique()
            scores = row[seen]
            row[seen] = torch.where(scores > 0, scores / p.repetition_penalty, scores * p.repetition_penalty)
        if len(answer) and (p.presence_penalty or p.frequency_penalty):
            times = torch.tensor(list(counts.values()), dtype=torch.float32, device=row.device)
            row[answer] -= p.presence_penalty + p.frequency_penalty * times
