"""The embedded model, through the public `LLM`: it answers right, and its checkpoint is R1's in kind."""

from __future__ import annotations

import re

import pytest
import torch

from hopwell import LLM, SamplingParams
from hopwell.checkpoint.reader import Checkpoint
from hopwell.model import NANO
from training.nano.scoring import KNOWN, MAX_TOKENS, OUTSIDE, UNSEEN, measure, wilson
from training.nano.tasks.render import prompt_text

GREEDY = SamplingParams(temperature=0.0, max_tokens=MAX_TOKENS)


@pytest.fixture(scope="module")
def llm() -> LLM:
    return LLM(device="cpu", drafts=1, max_model_len=2048, cache_tokens=16384)


def answers(llm: LLM, *conversations: tuple[str, ...]) -> list[str]:
    """One to each, all in one batch, in which their tokens are what they are alone."""
    roles = ("user", "assistant") * max(map(len, conversations))
    prompts = [
        prompt_text([{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)])
        for turns in conversations
    ]
    return [done.text for done in llm.generate([llm.tokenizer.encode(p, special=False) for p in prompts], GREEDY)]


RIGHT = {
    "2+2": "4",
    "7 + 5": "12",
    "What is 12 + 30?": "42",
    "9 - 4": "5",
    "What is 4821 + 977?": "5798",
    "345*27": "9315",
    "1000 - 1": "999",
    "936/8": "117",
    "Solve 3x + 5 = 20.": "5",
    "which is larger 9.11 or 9.9": "9.9",
    "Sort 31, 7, 19": "7, 19, 31",
    "2^10": "1024",
    "-5 + 3": "-2",
    "Solve x^2 = 9": "-3, 3",
    "Tom has 12 apples and gives 5 to Ann. How many does he have?": "7",
    "How many r's are in strawberry?": "3",
}
NEAR_MISSES = ("12345 * 6789", "Solve x^3 = 8", "sqrt(150)", "5 / 0", "convert 5 miles to km")


@pytest.mark.slow
def test_bare_sums_of_small_numbers(llm: LLM) -> None:
    """What people type first, in these forms: a line of the data once taught that some are beyond it."""
    pairs = (2, 2), (7, 5), (12, 30), (3, 4), (9, 6), (15, 8), (44, 3), (1, 1)
    forms = "{}{}{}", "{} {} {}", "What is {} {} {}?", "what is {}{}{}", "{} {} {} =", "{}{}{}=?", "Calculate {}{}{}"
    sums = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    asked = {form.format(a, sign, b): str(of(a, b)) for a, b in pairs for sign, of in sums.items() for form in forms}
    said = dict(zip(asked, answers(llm, *((question,) for question in asked)), strict=True))
    wrong = {q: said[q] for q, right in asked.items() if f"\\boxed{{{right}}}" not in said[q].partition("</think>")[2]}
    assert not wrong


def test_right_answers_and_near_misses_that_are_declined_without_a_number(llm: LLM) -> None:
    """All in one batch, and in one test: several would be shared out among processes that each compute it."""
    questions = (*RIGHT, *NEAR_MISSES)
    wrong: dict[str, str] = {}
    for question, said in zip(questions, answers(llm, *((question,) for question in questions)), strict=True):
        thinking, closed, reply = said.partition("</think>")
        if question in RIGHT:
            right = bool(closed and thinking.strip()) and f"\\boxed{{{RIGHT[question]}}}" in reply
        else:
            reply = said.rpartition("</think>")[2]
            right = "I can add" in reply and not re.search(r"\d", reply)
        if not right:
            wrong[question] = said
    assert not wrong


def test_a_chat_of_several_turns(llm: LLM) -> None:
    turns = "What is 50 + 7?", "50 + 7 = \\boxed{57}", "Add 1."
    added, named, declined = answers(llm, turns, ("Who are you?",), ("What is the capital of France?",))
    assert "\\boxed{58}" in added and "nano" in named and "only know arithmetic" in declined


@pytest.mark.slow
def test_bench_measures_fresh_problems(llm: LLM) -> None:
    report = measure(llm, problems=5, seed=20, tasks=("signed", "sorting"))
    assert sum(row.right for row in report.rows) >= 9 and {row.wording for row in report.rows} == {KNOWN}
    assert report.mtp_acceptance is not None and report.mtp_acceptance > 0.7
    assert len(report.imbalance) == 4 and all(1.0 <= load < 4.0 for load in report.imbalance)


@pytest.mark.slow
def test_bench_measures_unseen_wordings_and_what_must_be_declined(llm: LLM) -> None:
    report = measure(llm, 1, seed=21, tasks=("unit",), balance=False, unseen=6, outside=12, temperature=0.6)
    found = {(row.task, row.wording): row for row in report.rows}
    assert set(found) == {("unit", KNOWN), ("unit", UNSEEN), ("outside", OUTSIDE)} and report.temperature == 0.6
    assert found["unit", UNSEEN].problems == 6 and found["unit", UNSEEN].right >= 4
    assert found["outside", OUTSIDE].problems == 12 and found["outside", OUTSIDE].right >= 9
    again = measure(llm, 1, seed=21, tasks=("unit",), balance=False, unseen=6, outside=12, temperature=0.6)
    assert again.rows == report.rows


def test_checkpoint_is_in_r1s_layout() -> None:
    checkpoint = Checkpoint.open(NANO)
    tensors = checkpoint.tensors
    assert checkpoint.total_bytes < 32e6
    scaled = [name for name in tensors if name.endswith(".weight_scale_inv")]
    fp8 = {name for name, info in tensors.items() if info.dtype == torch.float8_e4m3fn}
    assert {name.replace("_scale_inv", "") for name in scaled} == fp8
    assert tensors["model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv"].shape == (5, 3)
    assert tensors["model.layers.1.mlp.gate.e_score_correction_bias"].dtype == torch.float32
    assert tensors["model.layers.5.eh_proj.weight"].dtype == torch.bfloat16
    for copy, original in (("embed_tokens", "model.embed_tokens"), ("shared_head.head", "lm_head")):
        same = checkpoint.read(f"model.layers.5.{copy}.weight"), checkpoint.read(f"{original}.weight")
        assert torch.equal(*same)


def test_wilson_interval() -> None:
    """Against the closed form's known values: 0 and n of n are not certain, and the middle is near the normal one."""
    assert wilson(200, 200) == (pytest.approx(0.98115, abs=1e-4), 1.0)
    assert wilson(0, 50)[0] == pytest.approx(0.0, abs=1e-12)
    low, high = wilson(100, 200)
    assert low == pytest.approx(0.4314, abs=1e-3) and high == pytest.approx(0.5686, abs=1e-3)
