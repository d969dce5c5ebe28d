"""The examples run as they are, against a fake cluster."""

import subprocess
import sys
from pathlib import Path

from tests.client.fake_servers import Fake

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example: str, *words: str) -> str:
    return subprocess.run(
        [sys.executable, EXAMPLES / example, *words],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    ).stdout


def test_examples_infer_prints_its_answer(fake_in_thread: Fake) -> None:
    printed = run("infer.py", "--address", fake_in_thread.address, "--slo-ms", "100")
    assert "x (1, 4) [0.1" in printed


def test_examples_stream_video_prints_what_was_found(fake_in_thread: Fake, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"jpeg")
    printed = run(
        "stream_video.py", str(tmp_path), "--fps", "50", "--address", fake_in_thread.address
    )
    assert "frame 0: detect: car" in printed
    assert "of 3 frames were replaced" in printed
