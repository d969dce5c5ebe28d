"""What was measured, as plain data that JSON keeps, and the ratios that follow from it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.grnn_cpu.regimes import Point

OURS, OURS_STRICT, OURS_BF16 = "ours ", "ours strict ", "ours bf16 "
PEERS = ("torch ", "onnxruntime ", "openvino ", "torch.compile ")
PEERS_BF16 = ("torch bf16 ", "openvino bf16 ")
"""Kinds of contenders. The number of threads follows in a contender's name."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians in microseconds, and the largest error of each contender against torch's fp32."""

    point: Point
    medians_us: dict[str, float]
    errors: dict[str, float] = field(default_factory=dict)
    limit_us: float = 0.0

    def best(self, kinds: str | Sequence[str]) -> tuple[str, float]:
        """The fastest of some kinds, over threads: its name and median."""
        wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        return min(
            ((name, us) for name, us in self.medians_us.items() if _kind(name) in wanted),
            key=lambda pair: pair[1],
        )

    @property
    def ratio(self) -> float:
        """The best library's time over ours, in fp32."""
        return self.best(PEERS)[1] / self.best((OURS, OURS_STRICT))[1]

    @property
    def strict_ratio(self) -> float:
        """The same with every weight in 4 bytes."""
        kinds = {_kind(name) for name in self.medians_us}
        return self.best(PEERS)[1] / self.best(OURS_STRICT if OURS_STRICT in kinds else OURS)[1]

    @property
    def bf16_ratio(self) -> float:
        """The same in bf16, against bf16."""
        return self.best(PEERS_BF16)[1] / self.best(OURS_BF16)[1]

    @property
    def share(self) -> float:
        """Of the machine's limit that ours reach, in fp32."""
        return self.limit_us / self.best((OURS, OURS_STRICT))[1]

    @property
    def peers_share(self) -> float:
        """Of the machine's limit that the best library reaches, in fp32."""
        return self.limit_us / self.best(PEERS)[1]


def geometric_mean(values: Iterable[float]) -> float:
    """Of ratios; nan of none."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def _kind(name: str) -> str:
    """``torch bf16 2`` is a ``torch bf16`` of two threads."""
    return name.rstrip("0123456789")
