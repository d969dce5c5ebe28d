"""One device: prefix batching (the paper's Figure 15) and multiplexing (Figure 14)."""

from collections.abc import Sequence

from nexus.core.device import DeviceSpec
from nexus.core.session import Session
from nexus.core.units import us_from_ms
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioModel, ScenarioSession
from nexus.simulator.experiments.comparison import Case, ExperimentSettings, Row, compare
from nexus.simulator.experiments.published import (
    CROP_PREPROCESS_MS,
    RESNET50_1080TI_MS,
    V100,
    V100_MS,
    linear_model,
    sharing_prefix,
)

RATE = 400.0
VARIANT_COUNTS = (1, 2, 4, 6, 8, 10)
VARIANTS_SLO_MS = 100.0
SUFFIX_MS = 0.2
"""Of 10 variants in a batch of 25, 1.8 ms of 31: the 7 % that the paper's throughput falls."""
PREFIX_PAPER = {1: (530, 525), 8: (185, 500), 10: (220, 490)}
"""Requests/s without and with prefix batching (Figure 15)."""
PREFIX_POLICIES = ("nexus-paper-without-prefix", "nexus-paper")

COPY_COUNTS = (2, 3, 4, 5)
COPIES_SLO_MS = 100.0
SLOS_MS = (50.0, 100.0, 150.0, 200.0)
SLO_COPIES = 3
COPIES_PAPER = {2: (1280, 700, 420), 3: (1195, 690, 450), 4: (1120, 675, 160), 5: (1115, 650, 150)}
SLOS_PAPER = {
    50.0: (955, 460, 95),
    100.0: (1190, 690, 450),
    150.0: (1200, 735, 600),
    200.0: (1350, 730, 570),
}
"""Requests/s of Nexus, TF-Serving and Clipper (Figure 14a and b)."""
MULTIPLEXING_POLICIES = ("nexus-paper", "tf-serving", "clipper")


def prefix_variants(count: int) -> Scenario:
    """``count`` variants of ResNet-50 that differ in their last layers, with equal rates."""
    models = [linear_model(f"variant-{index}", RESNET50_1080TI_MS) for index in range(count)]
    variants = sharing_prefix(models, "variants", suffix_ms=SUFFIX_MS)
    return _one_device(f"prefix-{count}", variants, VARIANTS_SLO_MS)


def inception_copies(count: int, slo_ms: float = COPIES_SLO_MS) -> Scenario:
    """``count`` models of Inception's cost with equal rates."""
    models = [
        linear_model(f"inception-{i}", V100_MS["inception-v3"], preprocess_ms=CROP_PREPROCESS_MS)
        for i in range(count)
    ]
    return _one_device(f"multiplexing-{count}-{slo_ms:g}", models, slo_ms)


def prefix_rows(
    settings: ExperimentSettings,
    policies: Sequence[str] = PREFIX_POLICIES,
    counts: Sequence[int] = VARIANT_COUNTS,
) -> list[Row]:
    """Every number of variants; ratios to no prefix batching."""
    cases = [
        Case(
            name=f"{count} variants",
            scenario=prefix_variants(count),
            paper=dict(zip(PREFIX_POLICIES, PREFIX_PAPER.get(count, ()), strict=False)),
        )
        for count in counts
    ]
    return compare("prefix batching", cases, policies, settings, against=PREFIX_POLICIES[0])


def multiplexing_rows(
    settings: ExperimentSettings,
    policies: Sequence[str] = MULTIPLEXING_POLICIES,
    counts: Sequence[int] = COPY_COUNTS,
    slos_ms: Sequence[float] = SLOS_MS,
) -> list[Row]:
    """Every number of copies at 100 ms, then three copies at every SLO; ratios to the paper's."""
    cases = [
        Case(
            name=f"{count} copies",
            scenario=inception_copies(count),
            paper=dict(zip(MULTIPLEXING_POLICIES, COPIES_PAPER[count], strict=True)),
        )
        for count in counts
    ]
    cases += [
        Case(
            name=f"{SLO_COPIES} copies, SLO {slo_ms:g} ms",
            scenario=inception_copies(SLO_COPIES, slo_ms),
            paper=dict(zip(MULTIPLEXING_POLICIES, SLOS_PAPER[slo_ms], strict=True)),
        )
        for slo_ms in slos_ms
    ]
    return compare("multiplexing", cases, policies, settings, against="nexus-paper")


def _one_device(name: str, models: Sequence[ScenarioModel], slo_ms: float) -> Scenario:
    """A session of every model, rates equal."""
    rate = RATE / len(models)
    return Scenario(
        name=name,
        devices=(DeviceSpec(type=V100, count=1),),
        models=tuple(models),
        sessions=tuple(
            ScenarioSession(
                session=Session(model=m.name, slo_us=us_from_ms(slo_ms), expected_rate=rate),
                rate=rate,
                arrivals=Arrivals(kind="uniform"),
            )
            for m in models
        ),
    )
