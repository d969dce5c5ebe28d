"""How much work an evaluation puts into its figures."""

from dataclasses import dataclass

SEARCH_SEEDS = (11, 12, 13)
"""The seeds that must all hold at a rate that is called a capacity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Requests of a trial (``short``) and of what decides (``long``); seeds of what decides.

    ``coarse`` is the step of the trials, ``fine`` that of the decision. ``thorough``
    experiments run all their cases.
    """

    short: int
    long: int
    seeds: tuple[int, ...]
    coarse: float
    fine: float
    thorough: bool


FULL = Effort(short=6_000, long=20_000, seeds=SEARCH_SEEDS, coarse=1.05, fine=1.015, thorough=True)
QUICK = Effort(
    short=4_000, long=8_000, seeds=SEARCH_SEEDS[:1], coarse=1.08, fine=1.03, thorough=False
)
