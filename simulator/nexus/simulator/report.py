"""What came of a simulation: the same figures and the same keys, whatever the policy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nexus.core.names import BackendName, DeviceType, QueryName, SessionName
from nexus.core.units import ms_from_us, s_from_us
from nexus.simulator.ledger import Account

GOOD_FRACTION_MIN = 0.99
"""The promise: this share of every session's requests is answered in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUse:
    """One device: how long it was busy in each second of the counted time, in us."""

    backend: BackendName
    device: DeviceType
    busy_us_by_second: Sequence[int] = ()

    @property
    def busy_us(self) -> int:
        """Busy in all."""
        return sum(self.busy_us_by_second)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationReport:
    """What came of a run.

    ``simulated_us`` is the time during which requests were offered and counted. ``sessions`` and
    ``queries`` are the accounts of what clients asked for; ``batches`` says how often each session
    (stages of queries, ``QUERY/STAGE``, too) was executed in batches of each size. ``lower_bound``
    is how many devices the offered requests would take in best batches, back to back.
    ``wall_s`` is how long the run took; it is no part of the result.
    """

    scenario: str
    policy: str
    seed: int
    simulated_us: int
    sessions: Mapping[SessionName, Account]
    queries: Mapping[QueryName, Account]
    batches: Mapping[SessionName, Mapping[int, int]]
    devices: Sequence[DeviceUse]
    lower_bound: Mapping[DeviceType, float]
    plans: int = 0
    events: int = 0
    wall_s: float = field(default=0.0, compare=False)

    @property
    def accounts(self) -> dict[str, Account]:
        """The accounts of sessions and queries together."""
        return {**self.sessions, **self.queries}

    @property
    def requests(self) -> int:
        """Requests offered."""
        return sum(account.offered for account in self.accounts.values())

    @property
    def good(self) -> int:
        """Requests answered in time."""
        return sum(account.good for account in self.accounts.values())

    @property
    def goodput(self) -> float:
        """Requests answered in time, a second."""
        return self.good / s_from_us(self.simulated_us)

    @property
    def bad_fraction(self) -> float:
        """The share of all requests that was not answered in time."""
        return 1 - self.good / self.requests if self.requests else 0.0

    @property
    def worst(self) -> float:
        """The least share answered in time that a session or query had."""
        return min((account.good_fraction for account in self.accounts.values()), default=1.0)

    @property
    def devices_used(self) -> float:
        """Busy time of all devices over the time: how many were busy on average."""
        return sum(use.busy_us for use in self.devices) / self.simulated_us

    def mean_batch(self, session: SessionName | None = None) -> float:
        """Items of an average batch, of one session (or stage) or of all; 0 when none ran."""
        if session is None:
            histograms = tuple(self.batches.values())
        else:
            histograms = (self.batches.get(session, {}),)
        items = sum(size * count for sizes in histograms for size, count in sizes.items())
        batches = sum(count for sizes in histograms for count in sizes.values())
        return items / batches if batches else 0.0

    def as_data(self) -> dict[str, Any]:
        """What ``nexus simulate --json`` prints."""
        return {
            "scenario": self.scenario,
            "policy": self.policy,
            "seed": self.seed,
            "simulated_s": s_from_us(self.simulated_us),
            "wall_s": round(self.wall_s, 3),
            "requests": self.requests,
            "goodput": round(self.goodput, 3),
            "bad_fraction": round(self.bad_fraction, 6),
            "devices_used": round(self.devices_used, 3),
            "lower_bound": round(sum(self.lower_bound.values()), 3),
            "sessions": [
                {
                    "session": name,
                    **_account_data(account),
                    "mean_batch": round(self.mean_batch(name), 3),
                }
                for name, account in self.sessions.items()
            ],
            "queries": [
                {"query": name, **_account_data(account), "mean_batch": self._stage_batches(name)}
                for name, account in self.queries.items()
            ],
        }

    def _stage_batches(self, query: QueryName) -> dict[str, float]:
        """The mean batch of each stage of a query."""
        return {
            session.removeprefix(f"{query}/"): round(self.mean_batch(session), 3)
            for session in self.batches
            if session.startswith(f"{query}/")
        }


def percentile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least ``share`` of all are not above; 0 of none."""
    if not values:
        return 0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _account_data(account: Account) -> dict[str, Any]:
    drops = sorted(account.dropped.items(), key=lambda entry: entry[0].value)
    return {
        "offered": account.offered,
        "good": account.good,
        "late": account.late,
        "dropped": {reason.value: count for reason, count in drops},
        "failed": account.failed,
        "p50_ms": ms_from_us(percentile(account.latencies_us, 0.5)),
        "p99_ms": ms_from_us(percentile(account.latencies_us, 0.99)),
    }
