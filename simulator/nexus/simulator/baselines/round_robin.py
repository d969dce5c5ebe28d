"""Deficit round-robin over planned rates, as each Nexus frontend does it for each session."""

from collections.abc import Sequence

_ONE = 1.0 - 1e-6


class DeficitRoundRobin:
    """Shares of items over targets in proportion to their rates.

    Every visit of the cursor earns a target rate / largest rate, and an item costs 1. (The public
    code divides by the smallest rate, which sends long runs to one backend when rates differ much;
    the shares are the same.)
    """

    def __init__(self, targets: Sequence[int], rates: Sequence[float]) -> None:
        """``rates`` in the order of ``targets``, all positive."""
        largest = max(rates)
        self._targets = tuple(targets)
        self._earns = tuple(rate / largest for rate in rates)
        self._credit = [0.0] * len(targets)
        self._cursor = 0

    def pick(self) -> int:
        """The target of the next item."""
        count = len(self._targets)
        while True:
            index = self._cursor
            self._cursor = index + 1 if index + 1 < count else 0
            credit = self._credit[index] + self._earns[index]
            if credit >= _ONE:
                self._credit[index] = credit - 1.0
                return self._targets[index]
            self._credit[index] = credit
