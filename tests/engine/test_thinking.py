"""The thinking is left alone: what shapes an answer begins after it, with any number of drafts."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from tiny_tokenizer import EOS, byte_tokenizer
from torch import Tensor
from toy import TOKENIZER, ToyModel, ask, run, toy_engine

from hopwell.engine.llm import Answer
from hopwell.engine.reading import Reader
from hopwell.engine.request import FinishReason
from hopwell.engine.thinking import Thinking

VOCAB = 262
IDS = byte_tokenizer().get_vocab()
START, END, A, B, EQUALS, FEED = (IDS[text] for text in ("<think>", "</think>", "a", "b", "=", "Ċ"))
BLANK = frozenset((FEED,))
BEGUN, OPENS = (Thinking(START, END, begun, blank=BLANK) for begun in (True, False))


class Scripted(ToyModel):
    """Prefers the tokens of a text, one after the other, whatever it has said; its drafts are right or wrong alike."""

    def __init__(self, text: str, prompt: int = 3) -> None:
        super().__init__(vocab=VOCAB)
        self.wanted = [*byte_tokenizer().encode(text).ids, EOS]
        self.prompt = prompt

    def forward(self, batch: Any, latent: Tensor) -> Tensor:
        super().forward(batch, latent)
        return (batch.positions - self.prompt + 1).unsqueeze(1)

    def logits(self, hidden: Tensor) -> Tensor:
        scores = torch.zeros(len(hidden), VOCAB)
        for row, place in enumerate(hidden[:, 0].tolist()):
            if 0 <= place < len(self.wanted):
                scores[row, self.wanted[place]] = 10.0
        return scores

    def draft(self, hidden: Tensor, batch: Any, latent: Tensor) -> Tensor:
        return hidden + 1


def told(text: str, thinking: Thinking | None, drafts: int = 0, **params: Any) -> tuple[Answer, int]:
    """The answer, and how many of its tokens are said to be thinking."""
    engine = toy_engine(Scripted(text), drafts=drafts)
    counts: list[int] = []
    request = ask([40, 41, 42], thinking=thinking, max_tokens=60, **params)
    request.stream = True
    engine.submit(request)
    found, reader = Answer(), Reader(request, TOKENIZER)
    while engine.has_work():
        for output in engine.step():
            for index in reader.read(output):
                engine.end(request.request_id, index)
            for part in output.outputs:
                found.add(part)
                counts.append(part.thinking_tokens)
    assert counts == sorted(counts)
    return found, counts[-1]
    return found


def answer(*args: Any, **params: Any) -> Answer:
    return told(*args, **params)[0]


R1, OWN, NONE = "1=1, so\n</think>\n\nx=2", "<think>1=1, so\n</think>\n\nx=2", "x=2"


@pytest.mark.parametrize("drafts", [0, 1, 3])
@pytest.mark.parametrize(
    ("text", "thinking", "thought"), [(R1, BEGUN, 9), (OWN, OPENS, 10), (NONE, OPENS, 0), ("\n" + OWN, OPENS, 11)]
)
def test_stop_strings_sleep_until_the_thinking_ends(text: str, thinking: Thinking, thought: int, drafts: int) -> None:
    found, count = told(text, thinking, drafts, stop=["="])
    assert count == thought
    assert found.text == text.removesuffix("=2") and found.stop_reason == "="
    assert len(found.tokens) == len(byte_tokenizer().encode(text).ids) - 1, "not what came after the stop string"
    by_token = answer(text, thinking, drafts, stop_token_ids=[EQUALS])
    assert by_token.text == text.removesuffix("=2") and by_token.stop_reason == EQUALS
    feeds = answer(text, thinking, drafts, stop=["\n"])
    assert feeds.text == text and feeds.stop_reason is None, "line feeds before the answer are not the answer's"


@pytest.mark.parametrize("drafts", [0, 2])
def test_what_wakes_them(drafts: int) -> None:
    assert answer(R1, BEGUN, drafts, stop=["="], apply_to_thinking=True).text == "1"
    assert answer(R1, BEGUN, drafts, stop_token_ids=[EQUALS], apply_to_thinking=True).text == "1"
    assert answer(R1, None, drafts, stop=["="]).text == "1"
    assert answer(R1, BEGUN, drafts, stop_token_ids=[END]).text == "1=1, so\n", "the mark itself ends the thinking"


@pytest.mark.parametrize("drafts", [0, 2])
@pytest.mark.parametrize(("text", "thinking"), [(R1, BEGUN), (OWN, OPENS)])
def test_penalties_and_bias_leave_the_thinking_alone(text: str, thinking: Thinking, drafts: int) -> None:
    thought, mark, _ = text.partition("</think>")
    found = answer(text, thinking, drafts, logit_bias={A: 50.0})
    assert found.text.startswith(thought + mark) and set(found.text.removeprefix(thought + mark)) == {"a"}
    assert set(answer(text, thinking, drafts, logit_bias={A: 50.0}, apply_to_thinking=True).text) == {"a"}
    assert answer(text, thinking, drafts, presence_penalty=2.0, frequency_penalty=2.0).text == text
    repeated = "aaaa</think>abb"
    # 10 - 2 x 2 - 4 is above nothing, 10 - 2 - 2 - 4 x 2 is below it: the thinking's four do not count
    plain = answer(repeated, BEGUN, drafts, presence_penalty=2.0, frequency_penalty=2.0)
    assert plain.text == repeated
    assert not answer(
        repeated, BEGUN, drafts, presence_penalty=2.0, frequency_penalty=2.0, apply_to_thinking=True
    ).text.endswith("abb")


@pytest.mark.parametrize("drafts", [0, 2])
def test_min_tokens_counts_the_answer(drafts: int) -> None:
    found = answer("so</think>ab", BEGUN, drafts, min_tokens=8)
    assert len(found.tokens) >= 3 + 8 and found.text.startswith("so</think>ab")
    assert answer("so</think>ab=c=d", BEGUN, drafts, stop=["="], min_tokens=4).text == "so</think>ab=c"
    assert answer("so</think>ab", BEGUN, drafts, min_tokens=5, apply_to_thinking=True).text == "so</think>ab"


@pytest.mark.parametrize("drafts", [0, 2])
@pytest.mark.parametrize(("text", "thinking"), [(R1, BEGUN), (OWN, OPENS), (NONE, OPENS), (NONE, None)])
def test_a_constraint_holds_after_the_models_own_thinking(text: str, thinking: Thinking | None, drafts: int) -> None:
    thought, mark, _ = text.rpartition("</think>")
    found = answer(text, thinking, drafts, regex="[a-z]{3}")
    assert found.finish_reason is FinishReason.STOP
    assert found.text.startswith(thought + mark) and re.fullmatch("[a-z]{3}", found.text[len(thought + mark) :])


def test_preemption_keeps_the_place() -> None:
    engine = toy_engine(Scripted("=" * 100 + "</think>" + "ab" * 40, prompt=20), pages=4)
    done = run(
        engine,
        [ask([40] * 20, str(i), thinking=BEGUN, regex="[b]{70}", stop=["="], max_tokens=200) for i in range(4)],
    )
    assert engine.metrics.preemptions > 0
    assert all(d.answers[0].text == "=" * 100 + "</think>" + "b" * 70 for d in done.values())


def test_an_early_mark_ends_the_thinking_but_not_under_a_schema() -> None:
    early = Thinking(START, END, True, early=B)
    assert answer("1=b=", early, stop=["="]).text == "1=b"
    assert re.fullmatch(r"1=(?!b).+</think>", answer("1=b</think>", early, regex="c{2}").text.removesuffix("cc"))
