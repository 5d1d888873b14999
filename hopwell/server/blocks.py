"""An answer as a list of blocks that open, grow and close: the form of responses and messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from hopwell.server.chat import Chat, Part

Kind = Literal["reasoning", "content", "call"]


@dataclass(slots=True)
class Block:
    """One block."""

    kind: Kind
    index: int
    text: str = ""
    """Thinking, text, or a call's arguments."""
    name: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A block has opened, gained `text`, or closed."""

    what: Literal["begin", "open", "text", "close"]
    """"begin" comes first, once, with the first token."""
    block: Block
    text: str = ""


class Blocks:
    """Reads one chat; `blocks` holds what came so far, `end` the last part."""

    def __init__(self, chat: Chat, mute: Kind | None = None) -> None:
        """
        Args:
            mute: blocks of this kind come without their text.
        """
        self.chat, self.mute = chat, mute
        self.blocks: list[Block] = []
        self.end: Part | None = None

    async def changes(self) -> AsyncGenerator[Change, None]:
        """Changes as they come; blocks never overlap.

        Raises:
            ApiError: as `Chat.parts` does.
        """
        block: Block | None = None
        begun = False
        async with aclosing(self.chat.parts()) as parts:
            async for part in parts:
                if not begun:
                    begun = True
                    yield Change("begin", Block("content", 0))
                for event in part.events:
                    kind: Kind = "call" if event.kind in ("call", "arguments") else event.kind
                    if block is None or event.kind == "call" or block.kind != kind:
                        if block is not None:
                            yield Change("close", block)
                        block = Block(kind, len(self.blocks), "", event.name, event.call_id)
                        self.blocks.append(block)
                        yield Change("open", block)
                    if event.text and kind != self.mute:
                        block.text += event.text
                        yield Change("text", block, event.text)
                if part.finish_reason is not None:
                    self.end = part
        if block is not None:
            yield Change("close", block)

    async def finish(self) -> None:
        """Reads to the end."""
        async for _ in self.changes():
            pass

    async def read_prompt(self) -> None:
        """Reads to the end of a request that is for its prompt's sake; its one token is forgotten."""
        await self.finish()
        self.blocks, self.chat.count.completion, self.chat.count.reasoning = [], 0, 0
        self.end = Part(0, finish_reason="length")
