"""The scenarios of the evaluation, written as scenario files are."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexus.core.profile import linear_profile
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.scenario_file import parse_scenario

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "examples" / "scenarios"
MAX_BATCH = 128
DEVICE = "gpu"


@dataclass(frozen=True, slots=True)
class Linear:
    """A model with l(b) = alpha b + beta (ms) under an SLO (ms)."""

    name: str
    alpha_ms: float
    beta_ms: float
    slo_ms: float

    @property
    def limit(self) -> float:
        """The hard limit of one device: max of b / l(b) with l(b) <= SLO, requests/s."""
        profile = linear_profile(
            self.name, DEVICE, self.alpha_ms * 1e3, self.beta_ms * 1e3, MAX_BATCH
        )
        return max(
            (
                profile.throughput(batch)
                for batch in range(1, MAX_BATCH + 1)
                if profile.latency_us(batch) <= self.slo_ms * 1e3
            ),
            default=0.0,
        )

    @property
    def words(self) -> str:
        """For tables."""
        return f"{self.alpha_ms:g} b + {self.beta_ms:g} ms, SLO {self.slo_ms:g} ms"


LIMIT_MODELS = (
    Linear("resnet50-1080ti", 1.053, 5.072, 25),
    Linear("resnet50-v100", 0.75, 7.96, 50),
    Linear("heavy", 1.0, 25.0, 100),
)
"""The three profiles of the published comparison of Nexus and Symphony."""

V100 = (
    ("resnet18", 0.22, 3.74),
    ("resnet50", 0.75, 7.96),
    ("resnet101", 1.25, 13.57),
    ("resnet152", 1.77, 18.98),
    ("densenet121", 0.69, 19.96),
    ("googlenet", 0.25, 8.41),
    ("inception3", 0.96, 11.77),
    ("densenet201", 1.12, 32.33),
)
"""Image models on a V100 (SHEPHERD, table 4)."""


def scenario(
    name: str,
    models: Sequence[Linear],
    rates: Mapping[str, float],
    devices: int,
    *,
    frontends: int = 1,
    arrivals: Mapping[str, Any] | None = None,
    seed: int = 1,
    duration_s: float = 60.0,
    **more: Any,
) -> Scenario:
    """One session per entry of ``models``; ``rates`` (requests/s) by its name."""
    profiles = {model.name.partition("/")[0]: model for model in models}
    written = {
        "name": name,
        "seed": seed,
        "duration_s": duration_s,
        "devices": [{"type": DEVICE, "count": devices}],
        "models": [
            {
                "name": short,
                "profiles": {
                    DEVICE: {
                        "alpha_ms": model.alpha_ms,
                        "beta_ms": model.beta_ms,
                        "max_batch": MAX_BATCH,
                    }
                },
            }
            for short, model in profiles.items()
        ],
        "sessions": [
            {
                "model": model.name.partition("/")[0],
                "slo_ms": model.slo_ms,
                "rate": rates[model.name],
                **({"arrivals": dict(arrivals)} if arrivals else {}),
            }
            for model in models
        ],
        "frontends": frontends,
        **more,
    }
    return parse_scenario(json.dumps(written))


def at_limit(
    model: Linear, devices: int, *, frontends: int = 1, cv: float = 1.0, **more: Any
) -> Scenario:
    """One session on ``devices`` devices, offered exactly what the hard limit says."""
    arrivals = {"kind": "bursty", "cv": cv} if cv != 1 else None
    name = f"{model.name}-n{devices}-f{frontends}-cv{cv:g}"
    rates = {model.name: devices * model.limit}
    return scenario(name, [model], rates, devices, frontends=frontends, arrivals=arrivals, **more)


def random_mix(number: int) -> Scenario:
    """A mix drawn at random: 2 to 8 sessions of V100 models, 2 to 12 devices, 1 to 4 frontends.

    Rates are Zipf-like and fill the devices by the sum of hard limits.
    """
    rng = random.Random(1_000 + number)  # noqa: S311 - reproducible
    devices = rng.randint(2, 12)
    sessions: dict[tuple[str, float], Linear] = {}
    while len(sessions) < rng.randint(2, 8):
        name, alpha_ms, beta_ms = rng.choice(V100)
        slo_ms = rng.choice(
            [s for s in (50, 80, 100, 150, 200, 300) if s > 2.2 * (alpha_ms + beta_ms)]
        )
        sessions[name, slo_ms] = Linear(f"{name}/{slo_ms}", alpha_ms, beta_ms, slo_ms)
    models = list(sessions.values())
    weights = [1 / (rank + 1) ** 0.9 for rank in range(len(models))]
    rng.shuffle(weights)
    shares = [weight / sum(weights) for weight in weights]
    rates = {
        model.name: devices * share * model.limit
        for model, share in zip(models, shares, strict=True)
    }
    return scenario(
        f"mix-{number}", models, rates, devices, frontends=rng.randint(1, 4), seed=number
    )
