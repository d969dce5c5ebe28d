"""Measured latencies raise a profile, in bounds and with hysteresis."""

import pytest

from nexus.core.cluster import BackendStatus, MeasuredLatency
from nexus.scheduler.correction import corrected, updated_factors
from tests.scheduler.virtual_cluster import DEVICE, catalogue_of, resnet

CATALOGUE = catalogue_of((resnet(),))


def measuring(*ratios: float) -> list[BackendStatus]:
    profile = resnet()
    return [
        BackendStatus(
            backend=f"b{index}",
            incarnation=1,
            address="",
            control_address="",
            device=DEVICE,
            measured=(MeasuredLatency("resnet", 8, round(profile.latency_us(8) * ratio)),),
        )
        for index, ratio in enumerate(ratios)
    ]


@pytest.mark.parametrize(
    ("ratios", "known", "factor"),
    [
        ((1.5,), 1.0, 1.5),
        ((5.0,), 1.0, 2.0),
        ((0.5,), 1.0, 1.0),
        ((1.05,), 1.0, 1.0),
        ((1.55,), 1.5, 1.5),
        ((1.0,), 1.5, 1.0),
        ((1.0, 1.0, 9.0), 1.0, 1.0),
    ],
)
def test_correction_factor(ratios: tuple[float, ...], known: float, factor: float) -> None:
    key = ("resnet", DEVICE)
    factors = updated_factors({key: known}, CATALOGUE, measuring(*ratios))
    assert factors[key] == pytest.approx(factor, rel=0.001)


def test_correction_multiplies_every_latency() -> None:
    assert corrected(resnet(), 1.5).latency_us(4) == round(resnet().latency_us(4) * 1.5)
    assert corrected(resnet(), 1.0) == resnet()


def test_correction_ignores_models_it_has_no_profile_of() -> None:
    catalogue = catalogue_of((resnet("other"),))
    assert updated_factors({}, catalogue, measuring(1.5)) == {}
