"""Running the street query on a camera's frames, at the camera's pace, until the time is over."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol

from nexus.client.results import QueryResult
from nexus.core.clock import Clock, MonotonicClock
from nexus.core.errors import NexusError
from nexus.core.units import s_from_us, us_from_s
from nexus.demo.street.camera import Camera, CameraFrame
from nexus.demo.street.overlay import annotated, interest
from nexus.demo.street.report import StreetReport
from nexus.demo.street.sightings import Sightings, sightings_of
from nexus.demo.street.tally import StreetTally
from nexus.demo.street.tracker import Tracker

GRACE_S = 1.0
"""How long past the SLO a frame is waited for, so that a late answer is seen to be late."""
IN_FLIGHT_MAX = 64
"""Frames without an answer yet; a frame beyond them is dropped here, as ``camera_full``."""
CAMERA_FULL = "camera_full"


class QueryClient(Protocol):
    """What the run needs of ``nexus.client.AsyncClient``."""

    async def query(
        self,
        name: str,
        frame: bytes,
        *,
        timeout_s: float | None = None,
        frame_id: int = 0,
        stream_id: str = "",
    ) -> QueryResult:
        """One frame through a query; raises a NexusError when it gets no answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetSettings:
    """How to run: frames a second, for how long, and where the annotated frame goes (if at all).

    ``query`` and ``slo_us`` are those of street.yaml.
    """

    frame_rate: float = 2.0
    duration_s: float = 60.0
    png: Path | None = None
    query: str = "street"
    slo_us: int = 1_500_000
    camera: str = "CAM-03"


def street_yaml() -> str:
    """The text of street.yaml: the five models and the query, to be applied to a cluster."""
    return resources.files("nexus.demo.street").joinpath("street.yaml").read_text("utf-8")


async def run_street(
    client: QueryClient,
    settings: StreetSettings,
    on_update: Callable[[StreetReport], None],
    clock: Clock | None = None,
) -> StreetReport:
    """Send frames at the settings' pace whatever comes back (an open loop), and count.

    Args:
        client: A connected client of a cluster on which street.yaml is applied.
        settings: Pace, duration and output.
        on_update: Called with the state of the run after every frame sent or answered.
        clock: The source of time; the default is this machine's.

    Returns:
        The final report, once every frame sent has ended.

    Raises:
        NotFoundError: the video's package is not installed.
    """
    camera = Camera(settings.frame_rate, name=settings.camera)
    run = _Run(client, settings, on_update, clock or MonotonicClock())
    await run.stream(camera.frames())
    if settings.png:
        await asyncio.to_thread(run.save_best, settings.png)
    return run.report()


class _Run:
    """The moving parts of one run."""

    def __init__(
        self,
        client: QueryClient,
        settings: StreetSettings,
        on_update: Callable[[StreetReport], None],
        clock: Clock,
    ) -> None:
        self._client = client
        self._settings = settings
        self._on_update = on_update
        self._clock = clock
        self._start_us = clock.now_us()
        self._tally = StreetTally(settings.query, settings.slo_us)
        self._tracker = Tracker()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._best: tuple[float, CameraFrame, Sightings] | None = None

    def report(self) -> StreetReport:
        """The run as it is now."""
        elapsed_us = self._clock.now_us() - self._start_us
        return self._tally.report(elapsed_us, self._tracker.known)

    async def stream(self, frames: Iterator[CameraFrame]) -> None:
        """Send every frame when it is due, then wait for the last answers."""
        period_us = us_from_s(1 / self._settings.frame_rate)
        count = round(self._settings.duration_s * self._settings.frame_rate)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                # Decoding is done in a thread: the loop goes on receiving answers.
                frame = await asyncio.to_thread(next, frames)
                due_us = self._start_us + number * period_us
                await asyncio.sleep(s_from_us(max(0, due_us - self._clock.now_us())))
                self._send(group, frame)

    def save_best(self, path: Path) -> None:
        """Write the frame that showed most, annotated; nothing when no frame was answered."""
        if self._best:
            _, frame, sightings = self._best
            path.parent.mkdir(parents=True, exist_ok=True)
            annotated(frame.content, sightings).save(path, "PNG")

    def _send(self, group: asyncio.TaskGroup, frame: CameraFrame) -> None:
        self._tally.offered += 1
        if len(self._in_flight) >= IN_FLIGHT_MAX:
            self._tally.dropped[CAMERA_FULL] += 1
        else:
            task = group.create_task(self._ask(frame))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        self._on_update(self.report())

    async def _ask(self, frame: CameraFrame) -> None:
        settings = self._settings
        try:
            result = await self._client.query(
                settings.query,
                frame.content,
                timeout_s=s_from_us(settings.slo_us) + GRACE_S,
                frame_id=frame.index,
                stream_id=settings.camera,
            )
            result.raise_for_error()
        except NexusError as error:
            self._tally.dropped[error.reason] += 1
        else:
            self._answered(frame, result)
        self._on_update(self.report())

    def _answered(self, frame: CameraFrame, result: QueryResult) -> None:
        sightings = sightings_of(result, self._tracker)
        self._tally.answered(frame, result, sightings)
        worth = interest(sightings)
        if self._best is None or worth > self._best[0]:
            self._best = (worth, frame, sightings)
