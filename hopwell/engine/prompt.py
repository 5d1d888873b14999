"""A conversation as tokens: through the checkpoint's template, with what people wrote kept from being its marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hopwell.chat.calls import KIMI
from hopwell.chat.history import Shown, as_shown
from hopwell.chat.reply import THINK, THINK_END
from hopwell.chat.template import ChatTemplate, TemplateError
from hopwell.chat.tool_section import tool_section, with_section
from hopwell.engine.marked import Marker, mapped, sign_for
from hopwell.engine.thinking import Thinking
from hopwell.engine.tokenizer import Tokenizer

Message = Mapping[str, Any]
NO_THINKING = f"{THINK}\n\n{THINK_END}\n\n"
"""How R1 writes that it does not think."""


@dataclass(frozen=True, slots=True)
class Written:
    """A conversation as text."""

    text: str
    sign: str | None = None
    """A character before each special token that is only text; None where there is none of those."""


@dataclass(frozen=True, slots=True)
class _GoneOn:
    """Where the last turn's text stands in a rendered conversation."""

    start: str
    """A sign before the text."""
    end: str
    """A sign behind it."""
    closing: str
    """What closes the thinking before the text; nothing where the model does not think there."""

    def cut(self, text: str) -> str:
        """The conversation up to the end of that text, its thinking closed.

        Raises:
            TemplateError: the template does not show the turn.
        """
        kept, found, _ = text.rpartition(self.end)
        before, begun, after = kept.partition(self.start)
        if not found or not begun:
            raise TemplateError("the chat template does not show the last turn, so it cannot be continued")
        closed = before.rstrip().endswith(THINK_END)
        return before + ("" if closed else self.closing) + after


class Prompts:
    """Makes the prompts of one model."""

    def __init__(self, template: ChatTemplate, tokenizer: Tokenizer, reply_format: str | None) -> None:
        """
        Args:
            reply_format: how the model writes tool calls, a key of `chat.formats.FORMATS`.
        """
        self.template, self.tokenizer, self.reply_format = template, tokenizer, reply_format

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Message] | None = None,
        variables: Mapping[str, Any] | None = None,
        generation_prompt: bool = True,
        continue_final: bool = False,
    ) -> list[int]:
        """Tokens of a conversation: `encode` of what `write` gives.

        Raises:
            TemplateError: as `write`.
            RequestError: the tokenizer cannot encode it.
        """
        return self.encode(self.write(messages, tools, variables, generation_prompt, continue_final))

    def encode(self, written: Written) -> list[int]:
        """Tokens of a conversation.

        Raises:
            RequestError: the tokenizer cannot encode it.
        """
        if written.sign is None:
            return self.tokenizer.encode(written.text, special=False)
        return self._marker.encode(written.text, written.sign)

    def write(
        self,
        messages: Sequence[Message],
        tools: Sequence[Message] | None = None,
        variables: Mapping[str, Any] | None = None,
        generation_prompt: bool = True,
        continue_final: bool = False,
    ) -> Written:
        """The text of a conversation, up to where the assistant begins to speak, or goes on.

        Args:
            messages, tools: as OpenAI's API has them, content being text.
            variables: more that the template looks at, such as V3.1's `thinking`.
            generation_prompt: begin the assistant's turn.
            continue_final: leave the last turn, the assistant's, open instead. Of a model that thinks, its thinking is
                closed: empty, where the template shows none.

        Raises:
            TemplateError: the template refuses the conversation, or does not show all of it.
        """
        turns, offered = [dict(message) for message in messages], [dict(tool) for tool in tools or ()]
        if any(turn.get("tool_calls") or turn["role"] == "tool" for turn in turns):
            turns = [dict(turn) for turn in as_shown(turns, self._shown)]
        parts = {"messages": turns, "tools": offered, "variables": dict(variables or {})}
        try:
            return self._continued(parts) if continue_final else self._marked(parts, generation_prompt)
        except (UnicodeEncodeError, TypeError, RecursionError) as error:
            raise TemplateError(f"the messages cannot be encoded: {error}") from None

    @property
    def thinks(self) -> bool:
        """Whether the model is one that thinks, by its template."""
        return THINK_END in self.template.source and self.tokenizer.inner.token_to_id(THINK_END) is not None

    @cached_property
    def thinking_marks(self) -> tuple[int, ...]:
        """`<think>` and `</think>`, as far as the vocabulary has them as tokens."""
        tokens = (self.tokenizer.inner.token_to_id(mark) for mark in (THINK, THINK_END))
        return tuple(token for token in tokens if token is not None)

    def thinking(self, prompt: Sequence[int]) -> Thinking | None:
        """How thinking shows in the answer to a prompt; None where there will be none."""
        if len(self.thinking_marks) < 2:
            return None
        start, end = self.thinking_marks
        last = next((token for token in reversed(prompt) if token not in self._blank), None)
        if last == end:
            return None
        early = self.tokenizer.inner.token_to_id(KIMI.section) if self.reply_format == "kimi_k2" else None
        return Thinking(start, end, last == start, early, self._blank)

    @cached_property
    def _blank(self) -> frozenset[int]:
        encoded = (self.tokenizer.encode(text, special=False) for text in ("\n", "\n\n"))
        return frozenset(tokens[0] for tokens in encoded if len(tokens) == 1)

    @cached_property
    def _marker(self) -> Marker:
        return Marker(self.tokenizer.inner)

    @cached_property
    def _shown(self) -> Shown:
        return Shown.by(self.template)

    def _continued(self, parts: dict[str, Any]) -> Written:
        """The prompt up to the end of the last turn's text, which signs mark."""
        *before, last = parts["messages"]
        if last["role"] != "assistant" or last.get("tool_calls") or last.get("reasoning_content"):
            raise TemplateError("only a last turn of the assistant that is nothing but text can be continued")
        start = sign_for(parts)
        end = sign_for([parts, start])
        # after a tool's result R1's templates begin no thinking
        thinks = self.thinks and not (before and before[-1]["role"] == "tool")
        thought, mark, text = (last.get("content") or "").rpartition(THINK_END)  # templates drop what was thought
        last["content"] = f"{thought}{mark}{start}{text}{end}"
        return self._marked(parts, generation_prompt=False, gone_on=_GoneOn(start, end, NO_THINKING * thinks))

    def _marked(self, parts: dict[str, Any], generation_prompt: bool, gone_on: _GoneOn | None = None) -> Written:
        text = self._rendered(parts, generation_prompt, gone_on)
        people = parts if gone_on is None else mapped(parts, lambda part: part.removesuffix(gone_on.end))
        if not self._marker.needed(people):
            return Written(text)
        sign = sign_for(parts)
        for inside in (False, True):
            marked = self._rendered(self._marker.mark(parts, sign, inside), generation_prompt, gone_on)
            if marked.replace(sign, "") == text:
                return Written(marked, sign)
        raise TemplateError("the chat template acts on special tokens in the messages; write them differently")

    def _rendered(self, parts: dict[str, Any], generation_prompt: bool, gone_on: _GoneOn | None) -> str:
        messages, tools = parts["messages"], parts["tools"]
        if tools and not self.template.reads_tools:
            section = tool_section(self.reply_format, tools)
            if section is None:
                raise TemplateError(
                    "tools: this model's chat template has no place for them; give one that has, with --chat-template",
                    "tools",
                )
            messages = with_section(messages, section)
        text = self.template.render(
            messages, tools=tools or None, add_generation_prompt=generation_prompt, variables=parts["variables"]
        )
        return text if gone_on is None else gone_on.cut(text)
