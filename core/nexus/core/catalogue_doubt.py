"""Whether a catalogue that is suddenly empty can be believed. Pure but for what it remembers.

Nobody withdraws everything declared in one moment: a catalogue that was full a moment ago and is
empty now is a store that was emptied or exchanged, until it has stayed so. The scheduler, frontends
and backends all read the catalogue, and all go by this rule.
"""

from nexus.core.cluster import Catalogue

EMPTY_US = 30_000_000
"""For so long an empty catalogue is not believed: the time to put things right."""


class CatalogueDoubt:
    """What to go by while the catalogue says that nothing is declared any more."""

    def __init__(self) -> None:
        """Nothing has been declared."""
        self._last = Catalogue()
        self._empty_since_us: int | None = None

    @property
    def doubted(self) -> bool:
        """Whether the last look was not believed."""
        return self._empty_since_us is not None

    def believed(self, catalogue: Catalogue, now_us: int) -> Catalogue:
        """The catalogue, or the last one while a sudden emptiness is young.

        Emptied in steps, it is believed: then no session was left before the last step.
        """
        served = self._last.sessions or self._last.queries
        if not _is_empty(catalogue) or not served:
            self._empty_since_us = None
        elif self._empty_since_us is None:
            self._empty_since_us = now_us
        elif now_us - self._empty_since_us >= EMPTY_US:
            self._empty_since_us = None
        if self._empty_since_us is None:
            self._last = catalogue
        return self._last


def _is_empty(catalogue: Catalogue) -> bool:
    return not (catalogue.models or catalogue.sessions or catalogue.queries or catalogue.profiles)
