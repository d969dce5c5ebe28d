"""What a session may take of a pool that has not enough for all (ADR 0020).

Each session earns device time in proportion to its planned rate, and spends it on the batches that
are begun for it. Who has spent more than he earned, and more than chance explains, is in debt. He
goes on, but only with what others leave idle: his batch must find a device free by the time it is
full, while theirs may wait for one. And when somebody who has saved up a whole batch is refused
nevertheless, nobody in debt is served for a while, so that devices come free.
"""

import math

SAVED_BATCHES_MAX = 3
"""Device time that can be saved up, in batches: what was left idle long ago is gone."""


TOLERANCE = 1.25
"""What is earned beyond the share: batches are not always as large as they were planned."""
CREDIT_BATCHES = 20
"""Batches of one item that may be overspent, of b items 1 / sqrt(b) times as many: so far behind is
now and then a session that is called as planned; one that is called twice as often soon is more."""


class Entitlement:
    """The account of one session, in device time (us)."""

    def __init__(self, share: float, batch_us: int, batch_items: int = 1) -> None:
        """``share`` is in devices: it earns that many us each us. ``batch_us`` is a full batch."""
        self.share = share
        self._batch_us = batch_us
        self._credit_us = CREDIT_BATCHES * batch_us / math.sqrt(batch_items)
        self._saved_us = 0.0
        self._earned_at_us = 0
        self._starving_until_us = 0

    @property
    def in_debt(self) -> bool:
        """Whether it has taken more than its share and its credit, as of the last ``earn``."""
        return self._saved_us < -self._credit_us

    def earn(self, now_us: int) -> None:
        """Credit what it is entitled to since the last time."""
        earned_us = (now_us - self._earned_at_us) * self.share * TOLERANCE
        self._saved_us = min(SAVED_BATCHES_MAX * self._batch_us, self._saved_us + earned_us)
        self._earned_at_us = now_us

    def spend(self, batch_us: int) -> None:
        """Debit a batch that was begun."""
        most_us = self._credit_us + SAVED_BATCHES_MAX * self._batch_us
        self._saved_us = max(self._saved_us - batch_us, -most_us)
        if self._saved_us < self._batch_us:
            self._starving_until_us = 0

    def refused(self, until_us: int) -> None:
        """It was refused; if it has saved up a batch, it is starving for a while."""
        if self._saved_us >= self._batch_us:
            self._starving_until_us = until_us

    def is_starving(self, now_us: int) -> bool:
        """Whether those in debt must wait for it."""
        return now_us < self._starving_until_us
