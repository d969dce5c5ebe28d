"""The street demo from nothing: profile, choose a rate, start a cluster, run, sum up.

The composition only: the query, the camera and the table are ``nexus.demo.street``'s, the cluster
is ``LocalCluster``, the profiles are measured by ``nexus.profiler``.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from nexus.backend.device_name import parse_device
from nexus.cli.frame_rate import DevicesAtHand, choose_frame_rate
from nexus.cli.local_cluster import LocalCluster
from nexus.cli.profile_cache import ProfileCache
from nexus.cli.progress_bar import progress_on
from nexus.cli.stop_signals import stop_event
from nexus.client import AsyncClient, AsyncControlClient
from nexus.core.errors import DeadlineError
from nexus.core.model import Model
from nexus.core.names import stage_session_name
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.demo.street.report import StreetReport
from nexus.demo.street.street import StreetSettings, run_street, street_yaml
from nexus.demo.street.summary import summary_text
from nexus.demo.street.table import display_for
from nexus.profiler.profiled_device import open_device
from nexus.profiler.settings import ProfilerSettings
from nexus.scheduler.flags import parse_flags
from nexus.scheduler.resources import parse_resources

BACKENDS_MAX = 4
THREADS = 1
"""Of one operator: several backends, not several threads, use several cores."""
WARM_UP_S = 6.0
"""Frames that are not counted: first runs allocate, and the first epoch guesses the fan-outs."""
ROUTED_TIMEOUT_S = 90.0
ROUTED_POLL_S = 0.2
IN_TIME_SHARE_MIN = 0.99
PROFILER_SETTINGS = ProfilerSettings(
    latency_cap_us=400_000,
    repeats_min=8,
    repeats_max=40,
    batch_time_us=800_000,
    item_repeats=20,
    flat_batches=2,
)
"""Quicker than `nexus profile`, whose defaults take minutes for five models on a CPU. No batch
beyond the cap would be of use: five stages share 1.5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What the command line said. ``fps`` 0 chooses a rate that the plan accepts."""

    directory: Path
    cache: Path
    png: Path
    seconds: float
    fps: float = 0.0
    keep: bool = False
    gpus: int = 0

    @property
    def devices(self) -> tuple[str, int]:
        """The ``--device`` of every backend but its number, and how many backends."""
        if self.gpus:
            return "cuda", self.gpus
        return "cpu", max(1, min(BACKENDS_MAX, (os.cpu_count() or 2) - 1))


async def run_demo(settings: DemoSettings, console: Console) -> int:
    """The whole demo; 0 when at least 99 % of the admitted frames were answered in time."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    models, query = _declared()
    device, count = settings.devices
    profiles = await asyncio.to_thread(_profiles, models, settings, console)
    rate = settings.fps or choose_frame_rate(
        query,
        DevicesAtHand(type=device, count=count, profiles={p.model: p for p in profiles}),
        parse_flags([]).planner,
    )
    query = replace(query, expected_rate=rate)
    say(f"{rate:.2f} frames/s on {count} x {device}; starting the cluster …")
    cluster = LocalCluster(
        settings.directory,
        devices=f"{device}:{count}",
        threads=THREADS,
        on_event=say,
    )
    async with cluster:
        await _declare(cluster.addresses.control, [*models, *profiles, query], query)
        report = await _stream(cluster.addresses.frontends, settings, query, rate, console)
        say(summary_text(report, settings.png))
        if settings.keep:
            await _keep(cluster, say)
    return 0 if report.in_time_share >= IN_TIME_SHARE_MIN else 1


def _declared() -> tuple[tuple[Model, ...], Query]:
    resources = parse_resources(street_yaml(), "street.yaml")
    models = tuple(resource for resource in resources if isinstance(resource, Model))
    (query,) = (resource for resource in resources if isinstance(resource, Query))
    return models, query


def _profiles(
    models: Sequence[Model], settings: DemoSettings, console: Console
) -> tuple[Profile, ...]:
    """The models' profiles; those not measured on this machine yet are measured now."""
    name = "cuda:0" if settings.gpus else "cpu"
    device = open_device(parse_device(name), threads=THREADS)
    cache = ProfileCache(settings.cache, device, PROFILER_SETTINGS)
    found = {model.name: cache.find(model) for model in models}
    missing = [model for model in models if found[model.name] is None]
    if missing:
        console.print(f"measuring {len(missing)} models on this machine, once …")
    show = progress_on(sys.stdout)
    for model in missing:
        found[model.name] = cache.measure(model, show)
        if sys.stdout.isatty():
            console.print()
    device.executor.close()
    return tuple(profile for profile in found.values() if profile is not None)


async def _declare(
    control: str, resources: Sequence[Model | Profile | Query], query: Query
) -> None:
    """Apply, and return when every stage is routed by every frontend."""
    sessions = {stage_session_name(query.name, stage.name) for stage in query.stages}
    async with AsyncControlClient(control) as client:
        await client.apply(resources=resources)
        try:
            async with asyncio.timeout(ROUTED_TIMEOUT_S):
                while not await _is_routed(client, sessions):  # noqa: ASYNC110 - a remote state
                    await asyncio.sleep(ROUTED_POLL_S)
        except TimeoutError as error:
            raise DeadlineError(
                f"the query was not served within {ROUTED_TIMEOUT_S:g} s; see the cluster's logs"
            ) from error


async def _is_routed(client: AsyncControlClient, sessions: set[str]) -> bool:
    table, view = await client.routing_table(), await client.cluster()
    routed = {routes.session for routes in table.sessions if routes.routes or routes.pool}
    in_use = all(frontend.table_version >= table.version for frontend in view.frontends)
    return sessions <= routed and bool(view.frontends) and in_use


async def _stream(
    frontends: Sequence[str], settings: DemoSettings, query: Query, rate: float, console: Console
) -> StreetReport:
    counted = StreetSettings(
        frame_rate=rate,
        duration_s=settings.seconds,
        png=settings.png,
        query=query.name,
        slo_us=query.slo_us,
    )
    async with AsyncClient(frontends) as client:
        warm_up = replace(counted, duration_s=WARM_UP_S, png=None)
        await run_street(client, warm_up, lambda _: None)
        with display_for(console) as display:
            return await run_street(client, counted, display.update)


async def _keep(cluster: LocalCluster, say: Callable[[str], None]) -> None:
    say(
        f"the cluster goes on; another terminal: nexus top --cluster-dir {cluster.directory}\n"
        "stop it with Ctrl-C"
    )
    await stop_event().wait()
