"""``--devices``: what it means, and which part of a wrong one is wrong."""

from pathlib import Path

import pytest

from nexus.cli.devices import BackendDevice, count_gpus, default_devices, parse_devices
from nexus.core.errors import InvalidArgumentError


def test_devices_lists_expand_into_named_backends() -> None:
    assert parse_devices("cpu:2, emulated:v100, emulated:a100:1,emulated:v100", 0) == (
        BackendDevice("cpu-0", "cpu"),
        BackendDevice("cpu-1", "cpu"),
        BackendDevice("v100-0", "emulated:v100"),
        BackendDevice("a100-0", "emulated:a100"),
        BackendDevice("v100-1", "emulated:v100"),
    )


def test_devices_cuda_takes_every_gpu_or_the_count() -> None:
    assert [d.device for d in parse_devices("cuda", 3)] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [d.device for d in parse_devices("cuda:2", 3)] == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "not understood"),
        ("tpu", "'tpu' is not understood"),
        ("cpu:0", "'0' is not a count"),
        ("cpu:-1", "'-1' is not a count"),
        ("cpu:1:2", "not understood"),
        ("cpu,", "not understood"),
        ("emulated", "not understood"),
        ("emulated:", "not valid"),
        ("emulated:v100:x", "'x' is not a count"),
        ("cuda", "no NVIDIA GPU"),
        ("cpu:257", "asks for 257 backends; the limit is 256"),
    ],
)
def test_devices_malformed_spec_names_its_part(spec: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        parse_devices(spec, 0)


def test_devices_more_gpus_than_there_are_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="has 1"):
        parse_devices("cuda:2", 1)


def test_devices_default_is_what_the_machine_has(tmp_path: Path) -> None:
    assert default_devices(0) == "cpu:1"
    assert default_devices(2) == "cuda"
    (tmp_path / "0000:00:1e.0").mkdir()
    assert count_gpus(tmp_path) == 1
    assert count_gpus(tmp_path / "absent") == 0
