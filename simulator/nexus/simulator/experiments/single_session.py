"""One session on N devices: what deferring and staggering are worth (nexus.md section 4).

The three profiles of the digest's table, on 1, 8 and 32 devices, with Poisson and bursty arrivals.
"""

from nexus.core.device import DeviceSpec
from nexus.core.session import Session
from nexus.core.units import US_PER_S, us_from_ms
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioSession
from nexus.simulator.experiments.published import (
    RESNET50_1080TI_MS,
    V100,
    V100_MS,
    linear_model,
)

PROFILES = {
    "resnet50-1080ti": (RESNET50_1080TI_MS, 25.0),
    "resnet50-v100": (V100_MS["resnet50"], 50.0),
    "figure-9": ((1.0, 25.0), 100.0),
}
"""(alpha, beta) and SLO in ms. The last is the paper's Figure 9 at alpha = 1 ms."""

PAPER = {
    ("resnet50-1080ti", 1, 1.0): (393, 393, 369),
    ("resnet50-v100", 1, 1.0): (806, 806, 770),
    ("figure-9", 1, 1.0): (437, 437, 431),
    ("resnet50-1080ti", 8, 1.0): (4230, 3080, 5320),
    ("resnet50-v100", 8, 1.0): (7190, 6000, 8520),
    ("figure-9", 8, 1.0): (3950, 2773, 5663),
    ("resnet50-1080ti", 32, 1.0): (17919, 8186, 23323),
    ("resnet50-v100", 32, 1.0): (29193, 17644, 35361),
    ("resnet50-1080ti", 8, 3.0): (3265, 598, 3934),
    ("figure-9", 8, 3.0): (3524, 2083, 4865),
}
"""Goodput of nexus-paper, central-eager and symphony in the digest's simulation."""


def single_session(profile: str, devices: int, cv: float = 1.0) -> Scenario:
    """One session of a profile on ``devices`` devices; arrivals with this CV (1: Poisson)."""
    alpha_beta_ms, slo_ms = PROFILES[profile]
    model = linear_model(profile, alpha_beta_ms)
    table = model.profiles[V100]
    slo_us = us_from_ms(slo_ms)
    rate = devices * max(
        table.throughput(b) for b in range(1, table.max_batch + 1) if table.latency_us(b) <= slo_us
    )
    arrivals = Arrivals(kind="bursty", parameters={"cv": cv}) if cv != 1.0 else Arrivals()
    session = Session(model=profile, slo_us=slo_us, expected_rate=rate)
    return Scenario(
        name=f"single-{profile}-{devices}-cv{cv:g}",
        devices=(DeviceSpec(type=V100, count=devices),),
        models=(model,),
        sessions=(ScenarioSession(session=session, rate=rate, arrivals=arrivals),),
        duration_us=60 * US_PER_S,
    )
