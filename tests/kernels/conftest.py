"""Fixtures of the kernels' tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the CUDA emulator and the kernels compiled for it lie, during this run."""
    return tmp_path_factory.mktemp("emulated")
