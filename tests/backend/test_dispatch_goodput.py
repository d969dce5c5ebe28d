"""Planned loads: the worst session's share in time (ADR 0013), by the real engine."""

from dataclasses import replace

import pytest

from nexus.core.profile import linear_profile
from tests.backend.virtual_backend import Stream, goodput, placement_of

V100_US = {
    "resnet18": (220, 3_740),
    "resnet50": (750, 7_960),
    "resnet101": (1_250, 13_570),
    "inception_v3": (960, 11_770),
    "densenet121": (690, 19_960),
    "googlenet": (250, 8_410),
    "resnest200": (3_350, 45_430),
}
"""alpha and beta of l(b) on a V100, SHEPHERD (NSDI'23), table 4."""

MIXES = {
    "alike": {"resnet50": 8, "resnet101": 6, "densenet121": 6},
    "light and heavy": {"resnet18": 8, "resnest200": 4},
    "two": {"resnet50": 12, "inception_v3": 10},
    "one": {"googlenet": 16},
}


def streams(mix: dict[str, int], load: float, slack: float) -> list[Stream]:
    """A full duty cycle of these batches, its capacity used by ``load``.

    ``slack`` 1 makes each SLO just the duty cycle and one batch.
    """
    profiles = {name: linear_profile(name, "v100", *V100_US[name], 64) for name in mix}
    cycle_us = sum(profiles[name].latency_us(batch) for name, batch in mix.items())
    made = []
    for name, batch in mix.items():
        slo_us = round((cycle_us + profiles[name].latency_us(batch)) * slack)
        rate = load * batch / cycle_us * 1e6
        placement = placement_of(profiles[name], slo_us, batch, rate=rate)
        made.append(Stream(placement, profiles[name], rate))
    return made


@pytest.mark.parametrize("mix", MIXES)
def test_dispatch_keeps_the_worst_session_at_its_goal(mix: str) -> None:
    shares = goodput(streams(MIXES[mix], load=0.8, slack=1.15), 15_000_000, seed=3)
    assert min(shares.values()) >= 0.99, shares


def even_stream(excess: float, *, foretold: bool) -> Stream:
    """Even arrivals on a device that one session's batches fill, and so much more than that."""
    profile = linear_profile("resnet50", "v100", *V100_US["resnet50"], 128)
    rate = profile.throughput(56)
    placement = placement_of(profile, 100_000, 56, rate=rate)
    placement = replace(placement, arrives_evenly=foretold)
    return Stream(placement, profile, (1 + excess) * rate, even=True)


def test_a_full_device_loses_little_more_than_the_excess_of_even_arrivals() -> None:
    (share,) = goodput([even_stream(0.003, foretold=True)], 60_000_000, seed=3).values()
    assert share >= 0.993
    # Saving heads by batches that fall behind what comes costs several times the excess.
    (share,) = goodput([even_stream(0.003, foretold=False)], 60_000_000, seed=3).values()
    assert share < 0.993


@pytest.mark.full
@pytest.mark.parametrize("mix", MIXES)
def test_dispatch_bends_at_the_edge_of_the_plan(mix: str) -> None:
    """No slack in the SLO at all, nearly all of the capacity used."""
    shares = goodput(streams(MIXES[mix], load=0.95, slack=1.0), 120_000_000, seed=3)
    assert min(shares.values()) >= 0.91, shares
