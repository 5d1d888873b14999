"""A chat: its history, through the checkpoint's own template, and answers in parts as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hopwell.chat.reply import Event, ReplyParser
from hopwell.engine.llm import LLM, Message
from hopwell.engine.request import FinishReason, RequestError, SamplingParams
from hopwell.engine.thinking import Where
from hopwell.errors import HopwellError

MAX_ROUNDS = 8
"""Times that a model may call tools before it must answer."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    schema: dict[str, Any]
    """As OpenAI's API has it: `{"type": "function", "function": {"name": ...}}`."""
    run: Callable[[dict[str, Any]], str]

    @property
    def name(self) -> str:
        return self.schema["function"]["name"]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A call that was carried out."""

    name: str
    arguments: str
    result: str


@dataclass(slots=True)
class Turn:
    """How the last answer went."""

    tokens: int = 0
    first: float | None = None
    """Seconds to the first token."""
    seconds: float = 0.0
    """In all."""
    finish_reason: FinishReason = FinishReason.ABORT
    """ABORT where the caller left early."""
    kept: bool = False
    """Whether question and answer are in the history: not if nothing was said after the thinking."""

    @property
    def tokens_per_s(self) -> float | None:
        """After the first token."""
        busy = self.seconds - (self.first or 0.0)
        return (self.tokens - 1) / busy if self.tokens > 1 and busy > 0 else None


class Conversation:
    """Questions and answers in turn. Not for use from several threads at once."""

    def __init__(
        self,
        llm: LLM,
        params: SamplingParams | None = None,
        system: str | None = None,
        tools: Mapping[str, Tool] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            system: the system prompt; None: none, as R1's authors advise.
            tools: by name; they are run when the model calls them.
            variables: of the template, such as V3.1's `thinking`.
        """
        self.llm, self.params, self.variables = llm, params or llm.default_params, variables
        self.tools = dict(tools or {})
        self._system: list[Message] = [{"role": "system", "content": system}] if system else []
        self.messages: list[Message] = []
        self.turn = Turn()

    def reset(self) -> None:
        """Forgets everything but the system prompt."""
        self.messages = []

    def ask(self, text: str) -> Generator[Event | ToolResult, None, None]:
        """Answers a question in parts; `turn` then says how it went. Leaving the loop early stops the answer.

        Raises:
            RequestError: the conversation does not fit into the context, or the answer failed.
            TemplateError: the template refuses the conversation. After either the question is forgotten.
        """
        start, started = len(self.messages), time.perf_counter()
        turn = self.turn = Turn()
        self.messages.append({"role": "user", "content": text})
        answer = _Answer()
        try:
            for _ in range(MAX_ROUNDS):
                answer = _Answer()
                yield from self._answer(answer, turn, started)
                if not answer.calls:
                    break
                self.messages.append(answer.message())
                answer.text = ""
                for call in answer.calls:
                    result = self._run(call)
                    self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result.result})
                    yield result
        except HopwellError:
            answer.text = ""
            raise
        finally:
            turn.seconds = time.perf_counter() - started
            turn.kept = bool(answer.text)
            if turn.kept:
                self.messages.append({"role": "assistant", "content": answer.text})
            else:
                del self.messages[start:]

    def _answer(self, answer: _Answer, turn: Turn, started: float) -> Generator[Event, None, None]:
        """One answer of the model, as it comes."""
        schemas = [tool.schema for tool in self.tools.values()]
        prompt = self.llm.render([*self._system, *self.messages], schemas or None, self.variables)
        params = replace(self.params, thinking=self.llm.thinking(prompt))
        begun, format = params.begins is Where.INSIDE, self.llm.loaded.reply_format or "deepseek_r1"
        parser = ReplyParser(begun, bool(schemas), format)
        for output in self.llm.stream(prompt, params):
            (part,) = output.outputs
            turn.tokens += len(part.tokens)
            if turn.first is None and part.tokens:
                turn.first = time.perf_counter() - started
            if part.finish_reason is FinishReason.ERROR:
                raise RequestError(part.error or "the answer failed")
            events = parser.push(part.text)
            if part.finish_reason is not None:
                turn.finish_reason = part.finish_reason
                events += parser.finish()
            for event in events:
                answer.add(event)
                yield event

    def _run(self, call: dict[str, Any]) -> ToolResult:
        """What the tool says; a fault of the call is told to the model."""
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        try:
            result = self.tools[name].run(json.loads(arguments))
        except KeyError as error:
            missing = f"no tool {name!r}" if name not in self.tools else f"argument {error} is missing"
            result = f"error: {missing}"
        except (ValueError, TypeError) as error:
            result = f"error: {error}"
        return ToolResult(name, arguments, result)


class _Answer:
    """What has been said so far, without the thinking."""

    def __init__(self) -> None:
        self.text = ""
        self.calls: list[dict[str, Any]] = []

    def add(self, event: Event) -> None:
        if event.kind == "content":
            self.text += event.text
        elif event.kind == "call":
            function = {"name": event.name, "arguments": ""}
            self.calls.append({"id": event.call_id, "type": "function", "function": function})
        elif event.kind == "arguments":
            self.calls[event.index]["function"]["arguments"] += event.text

    def message(self) -> Message:
        return {"role": "assistant", "content": self.text or None, "tool_calls": self.calls}
