"""What a request does to its logits before a token is drawn: bias, penalties, grammar, tokens that may not come yet.

The thinking is left alone (`SamplingParams.thinking`): what shapes an answer begins after it.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from hopwell.engine.batch import Admission
from hopwell.engine.grammar import GrammarState
from hopwell.engine.request import SamplingParams
from hopwell.engine.thinking import Where


class LogitsProcessor:
    """One sequence's edits to its logits. It sees the tokens as the runner does, drafts included."""

    def __init__(self, admission: Admission) -> None:
        params = admission.params
        self.params, self.grammar, self._ends = params, admission.grammar, admission.ends
        self._where = params.begins
        self._answered, self._counts = 0, Counter[int]()
        prompt = sorted(set(admission.prompt)) if params.repetition_penalty != 1.0 else []
        self._prompt = torch.tensor(prompt, dtype=torch.int64)
        self._bias = torch.tensor(list(params.logit_bias), dtype=torch.int64)
        self._bias_by = torch.tensor(list(params.logit_bias.values()), dtype=torch.float32)
        if self.grammar is not None:
            self.grammar.restart()
        self.accept(admission.answer)

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
        where, counted, consumed = self._where, list[int](), 0
        for i in range(len(logits)):
            self._edit_row(logits[i], where, counted)
            if i == len(drafts):
                break
            if self.grammar is not None and self._held(where, drafts[i]):
                if (taken := self.grammar.push(drafts[i])) is None:
                    break
                consumed += taken
            where = self.params.after(where, drafts[i])
            if self._counts_in(where):
                counted.append(drafts[i])
        if self.grammar is not None:
            self.grammar.pop(consumed)

    def accept(self, tokens: list[int]) -> None:
        """Follows the tokens drawn."""
        for token in tokens:
            if self.grammar is not None and self._held(self._where, token):
                self.grammar.push(token)
            self._where = self.params.after(self._where, token)
            if self._counts_in(self._where):
                self._answered += 1
                self._counts[token] += 1

    def _counts_in(self, where: Where) -> bool:
        """Whether a token counts for penalties and `min_tokens`, from where it has brought the answer."""
        return where is Where.ANSWER or self.params.apply_to_thinking

    def _held(self, where: Where, token: int) -> bool:
        """Whether a token that is drawn here must be the grammar's."""
        thinking = self.params.thinking
        begins = where is Where.BEFORE and thinking is not None and token == thinking.start
        return where is not Where.INSIDE and not begins

    def _edit_row(self, row: Tensor, where: Where, drafts: list[int]) -> None:
        p = self.params
        if self._awake(row, where):
            if p.penalised:
                self._penalise(row, drafts)
            if len(self._bias):
                row.index_add_(0, self._bias.to(row.device), self._bias_by.to(row.device))
        if self._answered + len(drafts) < p.min_tokens:
            self._forbid_ends(row, where)
        if self.grammar is not None:
            self._constrain(row, where, self.grammar)

    def _awake(self, row: Tensor, where: Where) -> bool:
        """Whether penalties and bias touch this row: not where the model would begin to think."""
        if where is Where.BEFORE and self.params.thinking is not None:
            return self.params.apply_to_thinking or int(row.argmax()) != self.params.thinking.start
        return where is not Where.INSIDE or self.params.apply_to_thinking

    def _constrain(self, row: Tensor, where: Where, grammar: GrammarState) -> None:
        thinking = self.params.thinking
        if thinking is not None and where is Where.INSIDE:
            self._forbid_ends(row, where)  # ending before the grammar holds would leave it unmet
            if thinking.early is not None:
                row[thinking.early] = float("-inf")
            return
        allowed = grammar.allowed()
        if thinking is not None and where is Where.BEFORE:
            allowed[thinking.start] = True
        row.masked_fill_(torch.from_numpy(~allowed).to(row.device), float("-inf"))

    def _forbid_ends(self, row: Tensor, where: Where) -> None:
        thinking, ends = self.params.thinking, self._ends
        if thinking is not None and where is Where.INSIDE:  # a caller may stop at the token that ends the thinking
            ends = [token for token in ends if token != thinking.end]
        row[ends] = float("-inf")

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
