"""KServe's InferenceGRPCClient, unmodified, in an environment of its own.

kserve pins versions that differ from ours, so it is installed beside, once, in the user's cache.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from tests.integration.shared_cluster import SharedCluster, computed

pytestmark = [pytest.mark.integration, pytest.mark.full]

KSERVE = "kserve==0.21.0"
INSTALL_S = 900
"""It brings about 60 packages."""
SCRIPT = Path(__file__).with_name("kserve_script.py")


@pytest.fixture(scope="session")
def kserve_python() -> Path:
    """The interpreter of an environment with KSERVE; the test is skipped when pip cannot get it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / "nexus-serving" / f"{KSERVE}-python{version}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        venv.create(folder, with_pip=True, clear=True)
        installed = subprocess.run(
            (python, "-m", "pip", "install", "--quiet", KSERVE),
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
        if installed.returncode != 0:
            pytest.skip(f"pip cannot install {KSERVE}: {installed.stderr.strip()[-300:]}")
        complete.touch()
    return python


@pytest.mark.timeout(INSTALL_S + 60)
def test_kserve_client_infers_and_fails(kserve_python: Path, cluster: SharedCluster) -> None:
    rows = np.random.default_rng(3).standard_normal((3, 16)).astype(np.float32)
    ended = subprocess.run(
        (kserve_python, SCRIPT, cluster.frontend, json.dumps(rows.tolist())),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["live"]
    assert said["ready"]
    assert said["model_ready"]
    assert not said["unknown_ready"]
    assert (said["id"], said["model"]) == ("k1", "mlp")
    expected = computed("mlp", rows)
    for form in ("raw", "contents"):
        np.testing.assert_allclose(said[form], expected, rtol=1e-5, atol=1e-6)
    assert said["unknown"] == [
        "NOT_FOUND",
        "[request id: k1] Request for unknown model: 'nosuch' is not found",
    ]
