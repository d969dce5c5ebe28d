"""A dispatch of a model that runs by chunks, between its first chunk and its last (ADR 0028)."""

from nexus.backend.dispatch_queue import Queued
from nexus.core.record import record


@record
class Begun:
    """How far it is: the share of its steps that is ``left``, in 0..1.

    ``device_us`` is what its chunks took so far, ``company_us`` the same times the items that were
    in each: the one over the other is the batch in which it ran, on average.
    """

    queued: Queued
    left: float = 1.0
    device_us: int = 0
    company_us: int = 0

    @property
    def company(self) -> int:
        """Items in its chunks on average, its own among them: what its whole time is l(b) of."""
        if not self.device_us:
            return self.queued.items
        return max(1, round(self.company_us / self.device_us))

    def after(self, took_us: int, items: int, left: float) -> "Begun":
        """The same after a chunk of ``items`` that took ``took_us``."""
        company_us = self.company_us + took_us * items
        return Begun(self.queued, left, self.device_us + took_us, company_us)
