"""Every dashboard query returns data from a real Prometheus that scrapes a live local cluster.

A panel that names a metric nobody sets, or a label it does not carry, looks right in review and
stays empty for ever. Here each query runs against servers under load and in trouble:
callers leave too little time, devices stall, and one session asks for more than there is.
"""

import contextlib
import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from nexus.cli.cluster_file import ClusterFile, Member, read_cluster_file
from nexus.client import Client, ControlClient
from nexus.core.errors import NexusError
from nexus.core.model import EngineKind, Model
from nexus.core.profile import Profile, linear_profile
from nexus.core.query import Query, Stage
from nexus.core.session import Session
from nexus.core.tensor import VARIABLE, DataType, TensorSpec
from nexus.deploy.board import ROWS
from nexus.deploy.generated import DEPLOY
from nexus.deploy.promql import without_variables
from nexus.rpc.convert_control import Declared

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.full,
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        PROMETHEUS is None, reason="prometheus is not installed (tools/install_test_servers.sh)"
    ),
]

START_S = 120.0
DATA_S = 90.0
"""Long enough for the second epoch, which reports measured fan-out and rates."""
TIMEOUTS_S = (1.0, 1.0, 0.02, 0.004)
"""Enough, and too little: that is refused at admission."""
STALL_S = 0.3
"""Longer than the SLO: what waits in the queue of a stalled backend is dropped there."""
DEVICES = "emulated:v100:2,emulated:k80,emulated:t4:2,cpu"
QUERY = "watch"

EXPRESSIONS = [
    pytest.param(series.expression, id=f"{panel.title}: {series.legend}")
    for row in ROWS
    for panel in row.panels
    for series in panel.series
]


def model(name: str, engine: EngineKind = EngineKind.EMULATED, **parameters: str) -> Model:
    return Model(
        name=name,
        engine=engine,
        network="mlp" if engine is EngineKind.TORCH else "",
        inputs=(TensorSpec("input", DataType.FP32, (VARIABLE, 16)),),
        outputs=(TensorSpec("output", DataType.FP32, (VARIABLE, 4)),),
        parameters=parameters,
    )


def profile(name: str, device: str) -> Profile:
    return linear_profile(name, device, 1_000, 5_000, 32, memory_bytes=1 << 28)


def resources() -> list[Declared]:
    """A session on an emulated device, a real one on the CPU, too much of one, and a query.

    And one that only its variant can serve on the two devices there are, which are a pool then.
    """
    return [
        model("classify"),
        model("classify-on-cpu", EngineKind.TORCH),
        model("bulk"),
        model("detect", emulated_findings="person:2"),
        model("embed"),
        model("heavy"),
        model("light"),
        *(profile(name, "v100") for name in ("classify", "detect", "embed")),
        profile("classify-on-cpu", "cpu"),
        profile("bulk", "k80"),
        linear_profile("heavy", "t4", 20_000, 5_000, 32),
        profile("light", "t4"),
        Session(model="classify", slo_us=100_000, expected_rate=20),
        Session(model="classify-on-cpu", slo_us=100_000, expected_rate=20),
        Session(model="bulk", slo_us=100_000, expected_rate=1_200),
        Session(model="heavy", slo_us=100_000, expected_rate=1_500, variants=("light",)),
        Query(
            name=QUERY,
            slo_us=300_000,
            expected_rate=10,
            stages=(
                Stage(name="detect", model="detect"),
                Stage(name="embed", model="embed", after=("detect",)),
            ),
        ),
    ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterFile]:
    directory = tmp_path_factory.mktemp("cluster")
    nexus = Path(sys.executable).with_name("nexus")
    command = [str(nexus), "up", "--devices", DEVICES, "--dir", str(directory)]
    command += ["--frontends", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_for_ready(process)
            yield read_cluster_file(directory)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def wait_for_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    killer = threading.Timer(START_S, process.kill)
    killer.start()
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("ready"):
            killer.cancel()
            return
    pytest.fail(f"nexus up did not become ready: {''.join(said)}")


@pytest.fixture(scope="module")
def load(cluster: ClusterFile) -> Iterator[None]:
    """Requests and frames all the while, some of them with no time to be served."""
    with ControlClient(cluster.control) as control:
        control.apply(resources=resources())
    stop = threading.Event()
    threads = [
        *(
            threading.Thread(target=keep_asking, args=(addresses, stop))
            for addresses in (cluster.frontends, cluster.frontends[::-1]) * 2
        ),
        threading.Thread(target=keep_stalling, args=(cluster.of("backend"), stop)),
    ]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


def keep_asking(addresses: tuple[str, ...], stop: threading.Event) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "JPEG")
    inputs = {"input": [[0.0] * 16]}
    with Client(addresses) as client:
        while not stop.wait(0.05):
            for timeout_s in TIMEOUTS_S:
                for name in ("classify", "classify-on-cpu", "bulk", "heavy"):
                    with contextlib.suppress(NexusError):
                        client.infer(name, inputs, timeout_s=timeout_s)
                with contextlib.suppress(NexusError):
                    client.query(QUERY, picture.getvalue(), timeout_s=timeout_s)


def keep_stalling(backends: tuple[Member, ...], stop: threading.Event) -> None:
    for backend in itertools.cycle(backends):
        if stop.wait(1.0):
            return
        os.kill(backend.pid, signal.SIGSTOP)
        stop.wait(STALL_S)
        os.kill(backend.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def prometheus(cluster: ClusterFile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with our rules, scraping every server each second; yields its URL."""
    assert PROMETHEUS is not None
    folder = tmp_path_factory.mktemp("prometheus")
    configuration = folder / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(scrape_configuration(cluster)))
    address = f"127.0.0.1:{free_port()}"
    command = [
        PROMETHEUS,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()


def scrape_configuration(cluster: ClusterFile) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "5s"},
        "rule_files": [str(DEPLOY / "prometheus" / "rules.yml")],
        "scrape_configs": [
            {
                "job_name": f"nexus-{component}",
                "static_configs": [{"targets": [one.metrics for one in cluster.of(component)]}],
            }
            for component in ("frontend", "backend", "scheduler")
        ],
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(prometheus: str, path: str, **parameters: str) -> Any:
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]
    except urllib.error.HTTPError as error:
        pytest.fail(f"{url}: {error.read().decode()}")
    except OSError:
        return {}  # it is still starting


@pytest.fixture(scope="module")
def data_by_s(prometheus: str) -> float:  # noqa: ARG001  the wait begins when it runs
    """When every query must have data: one wait for all, not one each."""
    return time.monotonic() + DATA_S


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_dashboard_live_query_returns_data(
    expression: str, prometheus: str, data_by_s: float
) -> None:
    query = without_variables(expression, "30s")
    while not answer(prometheus, "query", query=query).get("result"):
        assert time.monotonic() < data_by_s, f"no data within {DATA_S} s: {query}"
        time.sleep(0.5)


@pytest.mark.usefixtures("load")
def test_dashboard_live_prometheus_scrapes_everything_and_evaluates_the_rules(
    prometheus: str,
) -> None:
    targets = answer(prometheus, "targets")["activeTargets"]
    assert targets
    assert [one["lastError"] for one in targets if one["health"] != "up"] == []
    rules = [rule for group in answer(prometheus, "rules")["groups"] for rule in group["rules"]]
    assert rules
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
