"""Drives the emulator: compiles a configuration with g++, and launches it on CPU tensors."""

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import torch

from nexus.backend.kernels import cuda
from nexus.backend.kernels.cuda.configuration import Configuration, Exchange
from nexus.backend.kernels.cuda.persistent_layer import Launch

EMULATOR = Path(__file__).parent / "emulator"
SOURCE = Path(cuda.__file__).parent / "source"
FLAGS = [
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-fno-gnu-unique",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror",
    # A configuration leaves out what it does not need, by conditions on constants.
    "-Wno-unused-function",
    "-Wno-unused-parameter",
    "-Wno-unused-but-set-parameter",
    "-Wno-maybe-uninitialized",
]
COMPILER = shutil.which("g++")
PATIENCE_ROUNDS = 400_000
"""More than the slowest block of any test takes for W*x before its first step."""
IMPATIENCE_ROUNDS = 10_000


class Arguments(ctypes.Structure):
    """`Launch` of emulate.cc."""

    _fields_ = (
        ("pointers", ctypes.c_void_p * 12),
        ("state_rows", ctypes.c_int32),
        ("launch_steps", ctypes.c_int32),
        ("epoch", ctypes.c_uint32),
        ("patience", ctypes.c_uint64),
    )


class DeadlockError(AssertionError):
    """No thread of the grid could run."""


def compile_kernel(
    configuration: Configuration, folder: Path, source: Mapping[str, str] | None = None
) -> ctypes.CDLL:
    """One configuration as a library; ``source`` replaces files, to plant a defect."""
    macros = [f"-D{name}={value}" for name, value in configuration.macros.items()]
    texts = {path.name: path.read_text() for path in SOURCE.iterdir()} | dict(source or {})
    digest = hashlib.sha256(repr((macros, sorted(texts.items()))).encode()).hexdigest()[:16]
    library = folder / f"{digest}.so"
    if not library.exists():
        sources = folder / digest
        sources.mkdir(exist_ok=True)
        for name, text in texts.items():
            (sources / name).write_text(text)
        where = [f"-I{sources}", f"-I{EMULATOR}", '-DKERNEL_SOURCE="recurrent.cu"']
        machine = _compiled_once(folder)
        _compile([*where, *macros, "-shared", str(EMULATOR / "emulate.cc"), str(machine)], library)
    return ctypes.CDLL(str(library))


def _compiled_once(folder: Path) -> Path:
    """The machine, which is the same for every kernel."""
    target = folder / "emulator.o"
    if not target.exists():
        _compile(["-c", str(EMULATOR / "emulator.cc")], target)
    return target


def _compile(arguments: list[str], target: Path) -> None:
    assert COMPILER is not None
    subprocess.run([COMPILER, *FLAGS, *arguments, "-o", str(target)], check=True)


class Emulator:
    """A launcher whose machine is the fiber emulator, with one schedule for each seed."""

    device = torch.device("cpu")

    def __init__(self, library: ctypes.CDLL, *, seed: int, preempt_percent: int = 5) -> None:
        self._library = library
        self._preempt_percent = preempt_percent
        self.seed = seed
        self.skipped_blocks = 0
        """Blocks of the grid's first dimension to leave out, as if they were never resident."""

    def launch(self, configuration: Configuration, launch: Launch) -> None:
        """Run the grid to its end in this thread."""
        x, y, z = launch.grid
        cluster = x if configuration.exchange is Exchange.CLUSTER else 1
        arguments = Arguments(
            (ctypes.c_void_p * 12)(*launch.pointers),
            launch.state_rows,
            launch.steps,
            launch.epoch,
            launch.patience_ticks,
        )
        failed = self._library.emulate(
            x - self.skipped_blocks,
            y,
            z,
            cluster,
            ctypes.c_uint64(self.seed),
            self._preempt_percent,
            ctypes.byref(arguments),
        )
        self.seed += 1
        if failed:
            raise DeadlockError(f"seed {self.seed - 1}")
