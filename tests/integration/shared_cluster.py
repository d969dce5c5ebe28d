"""One real cluster for all integration tests: real processes, store, transports and a torch model.

It lives on an event loop in a thread of its own, so that sync and async tests use it alike, and
every test leaves it serving.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from nexus.cli.cluster_file import Member
from nexus.cli.discovery import DIRECTORY_VARIABLE
from nexus.cli.local_cluster import LocalCluster
from nexus.client import Client, ControlClient
from nexus.core.model import Model
from nexus.scheduler.resources import parse_resources
from nexus.zoo.networks import build_network
from tests.backend.onnx_files import write_colour_network

DEVICES = "cpu:1,emulated:v100:2,emulated:t4:1"
RESOURCES = Path(__file__).with_name("resources.yaml")
SERVED = ("mlp", "lstm", "colour", "detector", "classifier", "busy", "slow")
WAIT_S = 30.0
COMMAND_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ended:
    """A ``nexus`` command that has ended."""

    code: int
    out: str
    err: str


class SharedCluster:
    """Sync calls on a running LocalCluster; ``shared_cluster`` makes it."""

    def __init__(self, local: LocalCluster, loop: asyncio.AbstractEventLoop) -> None:
        self._local = local
        self._loop = loop

    @property
    def frontend(self) -> str:
        return self._local.addresses.frontends[0]

    @property
    def control(self) -> str:
        return self._local.addresses.control

    @property
    def store_url(self) -> str:
        return self._local.addresses.store

    @property
    def directory(self) -> Path:
        return self._local.directory

    @property
    def servers(self) -> tuple[Member, ...]:
        """All that speak gRPC: all but the store."""
        return tuple(member for member in self._local.addresses.members if member.grpc)

    def member(self, name: str) -> Member:
        return self._local.addresses.member(name)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    def kill(self, name: str) -> None:
        self.run(self._local.kill(name))

    def send(self, name: str, number: signal.Signals) -> None:
        self._local.send(name, number)

    def wait_ready(self) -> None:
        self.run(self._local.wait_ready())

    def nexus(self, *words: str, stdin: str = "") -> Ended:
        """Run the ``nexus`` command on this cluster, as a process of its own."""
        ended = subprocess.run(
            (sys.executable, "-m", "nexus.cli.main", *words),
            env={**os.environ, DIRECTORY_VARIABLE: str(self.directory)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)


@contextmanager
def shared_cluster(directory: Path) -> Iterator[SharedCluster]:
    """Start it, declare RESOURCES, wait until everything in SERVED is served; stop it at last."""
    models = directory / "models"
    models.mkdir()
    write_colour_network(models / "colour.onnx")
    local = LocalCluster(
        directory,
        devices=DEVICES,
        threads=1,
        backend_flags=("--model-root", str(models)),
    )
    with _loop_in_thread() as loop:
        cluster = SharedCluster(local, loop)
        cluster.run(local.start())
        try:
            with ControlClient(cluster.control) as control:
                control.apply(RESOURCES.read_text())
            _wait_served(cluster)
            yield cluster
        finally:
            cluster.run(local.stop())


def computed(name: str, values: Any) -> Any:
    """What torch makes of it in this process, with the weights that the declared seed draws."""
    (model,) = (
        resource
        for resource in parse_resources(RESOURCES.read_text())
        if isinstance(resource, Model) and resource.name == name
    )
    with torch.inference_mode():
        return build_network(model)(torch.from_numpy(values)).numpy()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Poll; other processes tell nobody."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


def _wait_served(cluster: SharedCluster) -> None:
    with Client(cluster.frontend) as client:

        def served() -> bool:
            ready = {model.name for model in client.models() if model.ready}
            return ready >= set(SERVED)

        wait_until(served, f"{', '.join(SERVED)} are served")


@contextmanager
def _loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="shared-cluster", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
