"""What a tenant may use and has used: requests a minute, and answers that are made at once."""

from __future__ import annotations

from dataclasses import dataclass

from hopwell.server.errors import ApiError
from hopwell.server.ledger import Ledger
from hopwell.server.settings import Tenant


@dataclass(slots=True)
class Seats:
    """What one HTTP request counts for in its tenant's `max_concurrent`: one, or the sequences that it asks for."""

    tenant: Tenant
    ledger: Ledger
    place: int = 0
    """The tenant's in the ledger."""
    held: int = 0
    sequences: int = 0

    def enter(self) -> None:
        """Takes a request from the tenant's bucket, which fills up with time, and a seat, if one more may run.

        Raises:
            ApiError: 429, with Retry-After.
        """
        with self.ledger.locked():
            limit = self.tenant.requests_per_minute
            if limit is not None and (left := self.ledger.fill(self.place, limit)) < 1:
                wait = {"retry-after": str(int((1 - left) * 60 / limit) + 1)}
                raise ApiError(429, f"more than {limit} requests a minute; slow down", None, "rate_limited", wait)
            self._check(1, 1)
            self.ledger.spend(self.place)
            self.ledger.add(self.place, 1)
        self.held = 1

    def check(self, count: int) -> None:
        """Whether so many sequences could be taken now: before work is done for them.

        Raises:
            ApiError: 429, so many may not run at once.
        """
        with self.ledger.locked():
            self._check(self.sequences + count, self._more(count))

    def take(self, count: int) -> None:
        """Counts sequences, before they are made.

        Raises:
            ApiError: as `check`.
        """
        more = self._more(count)
        with self.ledger.locked():
            self._check(self.sequences + count, more)
            self.ledger.add(self.place, more)
        self.sequences += count
        self.held += more

    def leave(self) -> None:
        """Gives all back."""
        self.ledger.add(self.place, -self.held)
        self.held = 0

    def _more(self, count: int) -> int:
        """Seats for so many sequences more, beside those that are held."""
        return max(self.sequences + count - self.held, 0)

    def _check(self, asked: int, more: int) -> None:
        """
        Args:
            asked: sequences of this request.
            more: those of them that are not counted yet.
        """
        most = self.tenant.max_concurrent
        if most is None or (running := self.ledger.running(self.place)) + more <= most:
            return
        if asked > most:
            said = (
                f"{asked:,} answers (n, for every prompt) are more than the {most:,} that may run at once; ask for less"
            )
            raise ApiError(429, said, "n", "too_many_running")
        others = running + more - asked
        said = f"{others:,} answers are being made already, and {most:,} may be; wait for one"
        raise ApiError(429, said, None, "too_many_running", {"retry-after": "1"})
