"""What Python lets a caller pass and the engine cannot use is refused by a HopwellError that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hopwell import LLM, SamplingParams
from hopwell.chat.template import TemplateError
from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.frontend import ModelError
from hopwell.engine.request import FinishReason, Request, RequestError
from hopwell.engine.typed import misfit

SHORT = SamplingParams(temperature=0.0, max_tokens=2)
ASK = {"role": "user", "content": "1 + 1"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    it = LLM(device="cpu", max_seqs=2)
    yield it
    it.close()


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ([[1.5]], "holds 1.5, which is no token id"),
        ([[1, True]], "holds True, which is no token id"),
        ([1, 2.5], "holds 2.5"),
        ([["a"]], "holds 'a'"),
        ([[10**30]], "outside the vocabulary"),
        (["fine", [-1]], "outside the vocabulary"),
        (["fine", None], "prompt is None"),
        ([1.5], "prompt is 1.5"),
        ([b"a"], "prompt is b'a'"),
        (b"abc", "prompts is b'abc'"),
        (5, "prompts is 5"),
        ({"a": 1}, "prompts is {'a': 1}"),
        ([[]], "prompt is empty"),
        (["\ud800"], "not UTF-8"),
    ],
)
def test_what_is_no_prompt_is_refused(llm: LLM, prompts: Any, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        llm.generate(prompts, SHORT)
    assert not llm.engine.has_work()


def test_of_several_prompts_each_has_its_own_fault(llm: LLM) -> None:
    answers = {place: completion.answers[0] for place, completion in llm.each([5, "a", [1.5], "\ud800"], SHORT)}  # type: ignore[list-item]
    assert [answers[place].finish_reason for place in range(4)] == [
        FinishReason.ERROR, FinishReason.LENGTH, FinishReason.ERROR, FinishReason.ERROR,
    ]  # fmt: skip
    for prompts in (5, "abc"):
        with pytest.raises(RequestError, match="give several prompts"):
            list(llm.each(prompts, SHORT))  # type: ignore[arg-type]


def test_no_prompts_have_no_answers(llm: LLM) -> None:
    assert llm.generate([]) == [] == llm.generate([], [])
    assert [c.prompt_tokens for c in llm.generate([(3, 4), range(3)], SHORT)] == [2, 3]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ("1+1", "`messages`"),
        (ASK, "`messages`"),
        ([], "length >= 1"),
        ([5], r"`messages\[0\]`"),
        ([{"content": "x"}], "`role`"),
        ([{"role": "foo", "content": "x"}], r"'foo' - at `messages\[0\].role`"),
        ([{"role": "user", "content": None}], r"`messages\[0\].content`"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], r"`messages\[0\].content`"),
        ([ASK, {"role": "assistant", "content": None}], r"neither .* `messages\[1\]`"),
        ([ASK, {"role": "assistant", "tool_calls": [{"id": "a"}]}], r"`messages\[1\].tool_calls\[0\]`"),
    ],
)
def test_what_is_no_conversation_is_refused(llm: LLM, messages: Any, says: str) -> None:
    for ask in (llm.chat, llm.render):
        with pytest.raises(TemplateError, match=says):
            ask(messages)


def test_conversations_of_every_role_are_rendered(llm: LLM) -> None:
    turns = [
        {"role": "system", "content": "Add."}, {**ASK, "name": "me"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "2"},
    ]  # fmt: skip
    assert llm.chat(tuple(turns), SHORT).answers[0].finish_reason is FinishReason.LENGTH
    for field, wrong in (("tools", 5), ("tools", [5]), ("tools", [{"type": "function"}]), ("variables", 5)):
        with pytest.raises(TemplateError, match=f"`{field}"):
            llm.render([ASK], **{field: wrong})


@pytest.mark.parametrize("wrong", [5, {"n": 1}])
def test_params_are_sampling_params(llm: LLM, wrong: Any) -> None:
    for ask in (
        lambda: llm.generate("a", wrong), lambda: llm.chat([ASK], wrong), lambda: list(llm.stream("a", wrong)),
        lambda: list(llm.each(["a"], wrong)), lambda: llm.generate(["a"], [wrong]),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=r"params is .*; give SamplingParams"):
            ask()


@pytest.mark.parametrize(
    "given",
    [
        {"seed": "a"}, {"seed": 1.0}, {"seed": True}, {"thinking": 5},
        {"thinking": {"start": 1, "end": 2, "begun": True}}, {"top_k": float("inf")}, {"temperature": "a"},
        {"temperature": False}, {"n": 2.0}, {"n": None}, {"max_tokens": "5"}, {"stop": "a"}, {"stop": [1]},
        {"stop_token_ids": 5}, {"stop_token_ids": [True]}, {"logit_bias": {"a": 1}}, {"logit_bias": None},
        {"json_schema": 5}, {"regex": b"a"}, {"grammar": 5}, {"ignore_eos": 1}, {"logprobs": 1.5},
    ],
)  # fmt: skip
def test_sampling_params_have_their_types(given: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(**given)
    (name,) = given
    assert caught.value.field == name and str(caught.value).startswith(f"{name} is ")


def test_a_request_has_its_types() -> None:
    for name, wrong in (("prompt", 5), ("prompt", "abc"), ("priority", "a"), ("cache_tokens", 1.5), ("stream", None)):
        fields: dict[str, Any] = {"request_id": "a", "prompt": [1], "params": SHORT, name: wrong}
        with pytest.raises(RequestError, match=f"^{name} is ") as caught:
            Request(**fields)
        assert caught.value.field == name


@pytest.mark.parametrize(
    "given",
    [
        {"max_seqs": "a"}, {"max_seqs": 1.5}, {"max_seqs": True}, {"max_model_len": "a"}, {"max_model_len": 0},
        {"max_model_len": 15}, {"drafts": "x"}, {"drafts": None}, {"prefix_cache": "no"}, {"cache_dtype": 5},
        {"step_timeout": "a"}, {"objective": 5}, {"disk_cache": 5}, {"cache_tokens": 64.0},
    ],
)  # fmt: skip
def test_settings_have_their_types(given: dict[str, Any]) -> None:
    makers: tuple[Callable[..., Any], ...] = (LLM, EngineConfig)
    for make in makers:
        with pytest.raises(EngineConfigError, match=f"^{next(iter(given))} is .*; give"):
            make(**given)


@pytest.mark.parametrize(
    "given", [{"model": 5}, {"model": b"a"}, {"device": 5}, {"dtype": 5}, {"tp": "a"}, {"ep": 1.0},
              {"dp_attention": 1}, {"chat_template": 5}],
)  # fmt: skip
def test_what_names_a_model_has_its_types(given: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"^{next(iter(given))} is .*; give"):
        LLM(**given)
    with pytest.raises(EngineConfigError, match="give an EngineConfig"):
        LLM(config={})  # type: ignore[arg-type]


def test_types_are_named_as_python_has_them() -> None:
    assert misfit(SamplingParams, {"logit_bias": 5}) == ("logit_bias", "logit_bias is 5; give dict[int, float]")
    assert misfit(SamplingParams, {"n": 1, "seed": "a"}) == ("seed", "seed is 'a'; give int or None")
    assert misfit(SamplingParams, {"n": 1, "temperature": 1, "stop": ("a",), "seed": None}) is None
    _, said = misfit(SamplingParams, {"regex": [0] * 1000}) or ("", "")
    assert len(said) < 120
