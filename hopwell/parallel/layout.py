"""How a model is laid out over ranks: processes with a GPU each, or with a share of a CPU."""

from __future__ import annotations

from dataclasses import dataclass

from hopwell.errors import HopwellError

MOST_RANKS = 64


class LayoutError(HopwellError):
    """A layout that cannot be; the message says which would do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What one rank of several computes.

    Tensor parallel: every rank has all rows and all cached latents, and of each layer some heads and a part of each
    network's width; what they make of a row is summed twice a layer. Expert parallel: of the routed experts a rank has
    some, whole, in place of a part of each. Data-parallel attention: a rank has all heads, but rows and cached latents
    of its own sequences alone; before a network all ranks' rows are gathered, after it each gets the sums of its own.
    """

    tp: int = 1
    """Ranks that share every layer."""
    ep: bool = False
    """Whether each of them has whole routed experts."""
    rank: int = 0
    dp_attention: bool = False
    """Whether each of them attends for sequences of its own."""

    @classmethod
    def of(cls, tp: int, ep: int = 1, dp_attention: bool = False) -> Layout:
        """Of numbers as users give them, as rank 0.

        Raises:
            LayoutError: there is no such layout.
        """
        if not 1 <= tp <= MOST_RANKS:
            raise LayoutError(f"--tp is {tp}; give 1 to {MOST_RANKS}")
        if ep not in (1, tp):
            wanted = (
                f"give --tp {ep} too" if tp == 1 and ep <= MOST_RANKS else f"give {tp}" if tp > 1 else "give --tp too"
            )
            raise LayoutError(
                f"--ep is {ep}, which must be as --tp, whose ranks share out experts; {wanted}, or leave it out"
            )
        if dp_attention and tp == 1:
            raise LayoutError("--dp-attention shares sequences out among ranks; give --tp too, or leave it out")
        return cls(tp, ep > 1, dp_attention=dp_attention)

    @property
    def world(self) -> int:
        """How many ranks there are."""
        return self.tp

    @property
    def pools(self) -> int:
        """How many ranks have pages of their own; where all cache the same, that counts as one."""
        return self.tp if self.dp_attention else 1

    @property
    def name(self) -> str:
        """In the field's words: TP8, TP8 EP8, TP8 EP8 DP attention."""
        found = (f"TP{self.tp}" if self.tp > 1 else "one rank") + (f" EP{self.tp}" if self.ep else "")
        return found + (" DP attention" if self.dp_attention else "")

    @property
    def options(self) -> str:
        """What a user gives for it."""
        ep, dp = f" --ep {self.tp}" if self.ep else "", " --dp-attention" if self.dp_attention else ""
        return f"--tp {self.tp}{ep}{dp}"

    def span(self, length: int) -> slice:
        """This rank's part of `length` things in a row; parts differ by one at most."""
        return slice(self.rank * length // self.tp, (self.rank + 1) * length // self.tp)


ONE_RANK = Layout()
"""That has everything."""
