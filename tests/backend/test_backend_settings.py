"""Flags, environment variables and device names."""

import pytest

from nexus.backend.device_name import DeviceKind, DeviceName, parse_device
from nexus.backend.settings import parse_settings
from nexus.core.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("cpu", DeviceName(DeviceKind.CPU, "cpu")),
        ("cuda", DeviceName(DeviceKind.CUDA, "cuda")),
        ("cuda:3", DeviceName(DeviceKind.CUDA, "cuda", 3)),
        ("emulated:v100", DeviceName(DeviceKind.EMULATED, "v100")),
    ],
)
def test_parse_device_understands_three_kinds(text: str, device: DeviceName) -> None:
    assert parse_device(text) == device


@pytest.mark.parametrize(
    "text", ["", "gpu", "cpu:0", "cuda:x", "cuda:-1", "emulated:", "emulated:a b"]
)
def test_parse_device_refuses_the_rest(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_device(text)


def test_settings_put_flags_over_environment_over_defaults() -> None:
    environment = {"NEXUS_NAME": "b7", "NEXUS_MEMORY_MB": "16", "NEXUS_DATA_LISTEN": "0.0.0.0:9"}
    settings = parse_settings(["--memory-mb", "32", "--advertise", "here"], environment)
    assert (settings.name, settings.memory_bytes) == ("b7", 32_000_000)
    assert (settings.data_listen, settings.advertise) == ("0.0.0.0:9", "here")
    assert settings.listen == "127.0.0.1:8001"
    assert parse_settings([], {}).advertise == "127.0.0.1"


@pytest.mark.parametrize(
    "flags",
    [
        ("--name", "a b"),
        ("--cluster", ""),
        ("--listen", "here"),
        ("--metrics-listen", "here:99999"),
        ("--memory-mb", "-1"),
        ("--threads", "-1"),
        ("--prepare-workers", "0"),
        ("--grace-s", "-1"),
        ("--emulated-jitter", "1"),
    ],
)
def test_settings_refuse_values_out_of_range(flags: tuple[str, str]) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_settings([*flags], {"NEXUS_NAME": "b0"})
