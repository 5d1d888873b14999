"""A conversation keeps what was said, forgets what was not, and runs the tools that the model calls."""

from __future__ import annotations

import pytest

from hopwell import LLM, SamplingParams
from hopwell.chat.source import Event
from hopwell.chat.template import TemplateError
from hopwell.cli.calculator import CALCULATOR, calculator
from hopwell.engine.conversation import Conversation, Tool, ToolResult
from hopwell.engine.request import FinishReason, RequestError

GREEDY = SamplingParams(temperature=0.0)
LONG = "Compute (98 * 97 - 7654) * 3 + 879"


@pytest.fixture(scope="module")
def llm() -> LLM:
    return LLM(device="cpu", max_seqs=1, max_model_len=1024)


def said(parts: list[Event | ToolResult], kind: str) -> str:
    return "".join(part.text for part in parts if isinstance(part, Event) and part.kind == kind)


@pytest.mark.slow
def test_history_without_thinking(llm: LLM) -> None:
    talk = Conversation(llm, GREEDY)
    first = list(talk.ask("What is 37 * 43?"))
    assert said(first, "reasoning").startswith("Multiply") and said(first, "content") == "37 * 43 = \\boxed{1591}"
    assert talk.turn.kept and talk.turn.finish_reason is FinishReason.STOP
    assert talk.turn.tokens > 50 and 0 < talk.turn.first < talk.turn.seconds and talk.turn.tokens_per_s > 0
    assert said(list(talk.ask("Now add 15.")), "content") == "1591 + 15 = \\boxed{1606}"
    assert [message["content"] for message in talk.messages] == [
        "What is 37 * 43?", "37 * 43 = \\boxed{1591}", "Now add 15.", "1591 + 15 = \\boxed{1606}"
    ]  # fmt: skip
    talk.reset()
    assert talk.messages == []


def test_what_is_stopped_while_thinking_is_forgotten(llm: LLM) -> None:
    talk = Conversation(llm, GREEDY)
    list(talk.ask("What is 2 + 2?"))
    before = list(talk.messages)
    parts = talk.ask(LONG)
    next(parts)
    parts.close()
    assert not llm.engine.has_work() and talk.messages == before
    assert not talk.turn.kept and talk.turn.finish_reason is FinishReason.ABORT
    llm.engine.check()


def test_what_was_said_before_the_stop_is_kept(llm: LLM) -> None:
    talk = Conversation(llm, GREEDY)
    parts = talk.ask("What is 2 + 2?")
    for part in parts:
        if isinstance(part, Event) and part.kind == "content":
            break
    parts.close()
    assert talk.turn.kept and len(talk.messages) == 2 and talk.messages[1]["content"] == part.text


def test_the_limit_may_leave_no_answer(llm: LLM) -> None:
    talk = Conversation(llm, SamplingParams(temperature=0.0, max_tokens=5))
    parts = list(talk.ask(LONG))
    assert said(parts, "reasoning") and talk.turn.finish_reason is FinishReason.LENGTH
    assert talk.messages == [] and talk.turn.tokens == 5


def test_too_long_is_refused_and_the_talk_goes_on(llm: LLM) -> None:
    talk = Conversation(llm, GREEDY)
    with pytest.raises(RequestError, match=r"the prompt has 2,0\d\d tokens, the context 1,024"):
        list(talk.ask("1+" * 1000))
    assert talk.messages == []
    assert said(list(talk.ask("1+1")), "content").endswith("\\boxed{2}")


@pytest.mark.slow
def test_tools_are_run_and_faults_told_to_the_model(llm: LLM) -> None:
    tool = Tool(CALCULATOR, lambda arguments: calculator(arguments["expression"]))
    talk = Conversation(llm, GREEDY, tools={"calculator": tool})
    parts = list(talk.ask("What is 123456 * 789?"))
    results = [part for part in parts if isinstance(part, ToolResult)]
    assert [(result.name, result.result) for result in results] == [("calculator", "97406784")]
    assert talk.messages[-1]["content"].endswith("\\boxed{97406784}")
    assert [message["role"] for message in talk.messages] == ["user", "assistant", "tool", "assistant"]

    def broken(arguments: dict[str, object]) -> str:
        raise ValueError("out of order")

    talk = Conversation(llm, GREEDY, tools={"calculator": Tool(CALCULATOR, broken)})
    (result,) = [part for part in talk.ask("What is 123456 * 789?") if isinstance(part, ToolResult)]
    assert result.result == "error: out of order"


def test_variables_reach_the_template(llm: LLM) -> None:
    talk = Conversation(llm, GREEDY, variables={"messages": []})
    with pytest.raises(TemplateError, match="messages is no variable"):
        list(talk.ask("hi"))
    assert talk.messages == []


@pytest.mark.slow
def test_each_prompt_for_itself(llm: LLM) -> None:
    prompts = [llm.render([{"role": "user", "content": f"{i} + {i}"}]) for i in range(5)]
    done = dict(llm.each([*prompts[:2], "1+" * 1000, [], *prompts[2:]], GREEDY))
    assert sorted(done) == list(range(7))
    for place, value in zip((0, 1, 4, 5, 6), range(5), strict=True):
        assert done[place].text.endswith(f"\\boxed{{{2 * value}}}") and done[place].timing is not None
    assert "the prompt has 2," in done[2].answers[0].error and "empty" in done[3].answers[0].error
    each = llm.each(prompts, GREEDY)
    next(each)
    each.close()
    assert not llm.engine.has_work()
    llm.engine.check()
