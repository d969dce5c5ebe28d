"""Settings of the planner and of the epoch engine, and the named policies (ADR 0011).

A policy is nothing but a ``PlannerSettings``: ``nexus`` is the paper's planner to the letter,
``default`` is what this cluster runs.
"""

from dataclasses import dataclass, field, replace
from enum import Enum

from nexus.core.errors import InvalidArgumentError
from nexus.core.units import US_PER_S

SEGMENTS_MAX = 1000
DEFAULT_HEADROOM = 0.85
POOL_DEVICES_MIN = 2
"""A pool of one device would lose by deferring (ADR 0020)."""


class StageCost(Enum):
    """What a stage of a query is assumed to cost when its budget is chosen (split.py)."""

    SATURATED = "saturated"
    """The paper's R / T: full batches, whatever the rate; a budget of 2 l(b) allows batch b."""
    GATHERED = "gathered"
    """A batch must also be gathered: b / R + l(b) must fit the budget."""
    PLAIN = "plain"
    """A budget of l(b) allows batch b: Figures 3 and 4 of the paper count so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """``segments`` is SLO / epsilon; a new split is adopted if it saves more than ``saving_min``.

    ``even`` divides the SLO evenly along the longest path instead: the paper's "-QA" baseline.
    """

    segments: int = 100
    saving_min: float = 0.10
    cost: StageCost = StageCost.GATHERED
    even: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on values out of range."""
        if not 1 <= self.segments <= SEGMENTS_MAX or not 0 <= self.saving_min < 1:
            raise InvalidArgumentError(
                f"split: segments {self.segments} must be in 1..{SEGMENTS_MAX} and saving_min "
                f"{self.saving_min} in [0, 1)",
                reason="invalid_settings",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How pools are sized and formed (pool_size.py, pooling.py; ADR 0023 has the calibration).

    A batch may have to wait for others before it starts: at least ``blocking`` times l(b) / N, and
    ``collision`` times that for every further session of the pool, up to l(b). ``margin`` times the
    variation of the work that arrives within an SLO is kept free. Pools shared by several sessions
    have about ``devices_max`` devices and at most ``sessions_max`` sessions; with ``shared`` off
    every pool serves one session.
    """

    blocking: float = 1.0
    collision: float = 4.0
    margin: float = 1.3
    devices_max: int = 16
    sessions_max: int = 64
    shared: bool = True

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on values out of range."""
        if (
            min(self.blocking, self.collision, self.margin) < 0
            or self.devices_max < POOL_DEVICES_MIN
            or self.sessions_max < 1
        ):
            raise InvalidArgumentError(
                f"pools: blocking, collision and margin must be >= 0, devices_max >= "
                f"{POOL_DEVICES_MIN} and sessions_max >= 1, not {self}",
                reason="invalid_settings",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TunerSettings:
    """What happens between epochs (tuner.py, spares.py; ADR 0024).

    A rate surges from ``rate_high`` times what was planned; what it surged to is a floor of plans
    for ``hold_us``, until the averages know. Idle backends are kept warm, up to ``spare_share`` of
    the number in use; 0 keeps none.
    """

    rate_high: float = 1.1
    hold_us: int = 20 * US_PER_S
    spare_share: float = 1.0

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on values out of range."""
        if self.rate_high < 1 or self.hold_us <= 0 or self.spare_share < 0:
            raise InvalidArgumentError(
                f"tuner: rate_high {self.rate_high} must be >= 1, hold {self.hold_us} us > 0 and "
                f"spare_share {self.spare_share} >= 0",
                reason="invalid_settings",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerSettings:
    """How a plan is made.

    ``headroom`` is the share of a device's planned capacity that the expected rate may use; the
    rest absorbs the variance of arrivals. ``network_us`` is the way there and back, taken off every
    SLO. ``rate_min`` (items/s) is planned for a session that nobody calls yet, so that its first
    request finds a route. ``search_packings`` packs in more than one order and divides
    sessions where that saves a device (packing.py);
    ``co_batching`` lets sessions of one model share batches, ``prefix_groups`` those of models that
    share a prefix;
    ``spend_slack`` enlarges batches where a cycle has time left (slack.py). ``pools`` None plans
    none; ``ask_us`` is what asking the owner of a pool takes besides, there and back. ``tuner``
    None does nothing between epochs. With ``degrade`` sessions may be served by their variants.
    """

    headroom: float = DEFAULT_HEADROOM
    network_us: int = 0
    rate_min: float = 0.1
    search_packings: bool = True
    co_batching: bool = True
    prefix_groups: bool = True
    spend_slack: bool = True
    split: SplitSettings = field(default_factory=SplitSettings)
    pools: PoolSettings | None = field(default_factory=PoolSettings)
    ask_us: int = 0
    tuner: TunerSettings | None = field(default_factory=TunerSettings)
    degrade: bool = True

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on values out of range."""
        if (
            not 0 < self.headroom <= 1
            or min(self.network_us, self.ask_us) < 0
            or self.rate_min <= 0
        ):
            raise InvalidArgumentError(
                f"planner: headroom {self.headroom} must be in (0, 1], network "
                f"{self.network_us} us and ask {self.ask_us} us >= 0 and rate_min "
                f"{self.rate_min} > 0",
                reason="invalid_settings",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochSettings:
    """When the engine plans anew.

    Every ``epoch_us``; sooner, but at least ``epoch_min_us`` after the last time, when a rate
    leaves ``rate_low``..``rate_high`` of what was planned (and by more than ``sigmas`` standard
    deviations of a Poisson count, so that a trickle does not rattle the cluster), once it has been
    watched for ``history_us``; and ``debounce_us`` after a backend or the catalogue changed.
    Devices are given back once nothing has needed them for ``release_us``. Who begins to watch, or
    watches again after an outage of the store, lets everybody report for ``settle_us`` before an
    absence counts (absence.py).
    """

    epoch_us: int = 30 * US_PER_S
    epoch_min_us: int = 10 * US_PER_S
    first_epoch_us: int = 0
    history_us: int = 5 * US_PER_S
    debounce_us: int = US_PER_S
    settle_us: int = 3 * US_PER_S
    rate_low: float = 0.8
    rate_high: float = 1.1
    sigmas: float = 3.0
    release_us: int = 90 * US_PER_S

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on values out of range."""
        times = (
            self.epoch_us,
            self.epoch_min_us,
            self.history_us,
            self.debounce_us,
            self.settle_us,
            self.release_us,
        )
        if min(times) <= 0 or self.first_epoch_us < 0:
            raise InvalidArgumentError(
                f"epochs: times must be positive, {self}",
                reason="invalid_settings",
            )


DEFAULT = PlannerSettings()
NEXUS = PlannerSettings(
    headroom=1.0,
    search_packings=False,
    co_batching=False,
    prefix_groups=False,
    spend_slack=False,
    split=SplitSettings(cost=StageCost.SATURATED),
    pools=None,
    tuner=None,
    degrade=False,
)
POLICIES = {
    "default": DEFAULT,
    "default-without-pools": replace(DEFAULT, pools=None),
    "default-without-groups": replace(DEFAULT, pools=PoolSettings(shared=False)),
    "default-without-co-batching": replace(DEFAULT, co_batching=False),
    "default-without-prefix": replace(DEFAULT, prefix_groups=False),
    "default-without-tuner": replace(DEFAULT, tuner=None),
    "default-without-degradation": replace(DEFAULT, degrade=False),
    "nexus": NEXUS,
    "nexus-without-query-analysis": replace(NEXUS, split=SplitSettings(even=True)),
}


def policy(name: str) -> PlannerSettings:
    """The settings of a named policy; raise InvalidArgumentError when there is none."""
    if name not in POLICIES:
        known = ", ".join(POLICIES)
        raise InvalidArgumentError(
            f"policy {name!r} is not known; the policies are {known}", reason="unknown_policy"
        )
    return POLICIES[name]
