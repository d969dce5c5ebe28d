"""What a session may take of a pool that has not enough for all (ADR 0020).

Each session earns device time in proportion to its planned rate, and spends it on the batches that
are begun for it. Who has spent more than he earned goes on, but only with what others leave idle:
his batch must find a device free by the time it is full, while theirs may wait for one. And when
somebody who has saved up a whole batch is refused nevertheless, nobody in debt is served for a
while, so that devices come free.
"""

SAVED_BATCHES_MAX = 3
"""Device time that can be saved up, in batches: what was left idle long ago is gone."""


class Entitlement:
    """The account of one session, in device time (us)."""

    def __init__(self, share: float, batch_us: int) -> None:
        """``share`` is in devices: it earns that many us each us. ``batch_us`` is a full batch."""
        self.share = share
        self._batch_us = batch_us
        self._saved_us = 0.0
        self._earned_at_us = 0
        self._starving_until_us = 0

    @property
    def in_debt(self) -> bool:
        """Whether it has taken more than its share, as of the last ``earn``."""
        return self._saved_us < 0

    def earn(self, now_us: int) -> None:
        """Credit what it is entitled to since the last time."""
        earned_us = (now_us - self._earned_at_us) * self.share
        self._saved_us = min(SAVED_BATCHES_MAX * self._batch_us, self._saved_us + earned_us)
        self._earned_at_us = now_us

    def spend(self, batch_us: int) -> None:
        """Debit a batch that was begun."""
        self._saved_us -= batch_us
        if self._saved_us < self._batch_us:
            self._starving_until_us = 0

    def refused(self, until_us: int) -> None:
        """It was refused; if it has saved up a batch, it is starving for a while."""
        if self._saved_us >= self._batch_us:
            self._starving_until_us = until_us

    def is_starving(self, now_us: int) -> bool:
        """Whether those in debt must wait for it."""
        return now_us < self._starving_until_us
