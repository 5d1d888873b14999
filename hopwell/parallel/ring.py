"""Rank 0's calls on their way to all others: one writer, one message at a time, of any length."""

from __future__ import annotations

from hopwell.parallel.memory import LINE, SharedBlock

SLOTS, SLOT_BYTES = 32, 1 << 16
HEAD = 16
"""Bytes before a piece: the message's length from here on, and the piece's own."""


class Ring:
    """Slots that rank 0 fills in turn and all others empty. The payload is there before it is counted, and a slot is
    filled again once everybody has counted it read."""

    def __init__(self, block: SharedBlock, offset: int, rank: int, world: int) -> None:
        """
        Args:
            offset: in the block, from where the ring takes `size(world)` bytes.
        """
        self._block, self._rank = block, rank
        self._counts = block.counters(offset, world)
        """Pieces written, by rank 0; read, by the others."""
        start = offset + world * LINE
        self._slots = block.bytes[start : start + SLOTS * SLOT_BYTES].reshape(SLOTS, SLOT_BYTES)
        self._done = 0

    @staticmethod
    def size(world: int) -> int:
        """Bytes of a ring."""
        return world * LINE + SLOTS * SLOT_BYTES

    def write(self, message: bytes) -> None:
        """Sends a message to all others.

        Raises:
            RankLost: a rank is lost, or does not read.
        """
        room = SLOT_BYTES - HEAD
        for start in range(0, max(len(message), 1), room):
            piece = message[start : start + room]
            self._block.wait(self._full, "the ring")
            slot = self._slots[self._done % SLOTS].data
            slot[:HEAD] = (len(message) - start).to_bytes(8, "little") + len(piece).to_bytes(8, "little")
            slot[HEAD : HEAD + len(piece)] = piece
            self._count()

    def read(self) -> bytes:
        """Waits for the next message, however long that takes.

        Raises:
            RankLost: a rank is lost.
        """
        pieces = bytearray()
        while True:
            self._block.wait(self._empty, "the ring", None)
            slot = self._slots[self._done % SLOTS].data
            left, length = int.from_bytes(slot[:8], "little"), int.from_bytes(slot[8:HEAD], "little")
            pieces += slot[HEAD : HEAD + length]
            self._count()
            if left == length:
                return bytes(pieces)

    def _full(self) -> int | None:
        for rank in range(1, len(self._counts)):
            if self._counts[rank] <= self._done - SLOTS:
                return rank
        return None

    def _empty(self) -> int | None:
        return 0 if self._counts[0] <= self._done else None

    def _count(self) -> None:
        self._block.fence()
        self._done += 1
        self._counts[self._rank] = self._done
