"""Compiles configurations with NVRTC, once each: the cubins lie in a cache on disk.

Neither a GPU nor a driver is needed, nor any header or tool of CUDA: NVRTC comes with the extra
``cuda``. A cubin is for one architecture; the cache's key holds source, macros, architecture and
the compiler's version (cuda.core), so it never needs clearing. Several processes may share it.
"""

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.cubin import KernelResources, resources_of
from nexus.backend.kernels.cuda.source_text import kernel_source
from nexus.core.errors import FailedPreconditionError, InternalError

KERNEL_NAME = "recurrent"
CACHE_VARIABLE = "NEXUS_KERNEL_CACHE"


@dataclass(frozen=True, slots=True)
class CompiledKernel:
    """One configuration for one architecture."""

    cubin: bytes
    resources: KernelResources


def cache_folder() -> Path:
    """``NEXUS_KERNEL_CACHE``, or the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE, "")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache"
    return Path(base) / "nexus" / "kernels"


def compile_configuration(
    configuration: Configuration, arch: int, folder: Path | None = None
) -> CompiledKernel:
    """The kernel for sm_``arch``, from the cache if it is there.

    Raises:
        FailedPreconditionError: the extra ``cuda`` is not installed.
        InternalError: it does not compile, or only with a stack: a register array that is indexed
            at run time, or spills, either of which makes a persistent kernel slow.
    """
    cubin = _compile(configuration, arch, str(folder or cache_folder()))
    resources = resources_of(cubin)[KERNEL_NAME]
    if resources.stack_bytes:
        raise InternalError(
            f"{configuration} for sm_{arch} needs {resources.stack_bytes} bytes of stack "
            f"beside {resources.registers} registers a thread: choose fewer weights a thread",
            reason="kernel_spills",
        )
    return CompiledKernel(cubin, resources)


def warm(
    configurations: Sequence[Configuration], arches: Iterable[int], folder: Path | None = None
) -> list[tuple[Configuration, int, CompiledKernel]]:
    """Compile all of them for all architectures, so that no model load has to."""
    return [
        (configuration, arch, compile_configuration(configuration, arch, folder))
        for arch in arches
        for configuration in configurations
    ]


def _compile(configuration: Configuration, arch: int, folder: str) -> bytes:
    try:
        from cuda.core import Program, ProgramOptions  # noqa: PLC0415 - only with the extra
    except ImportError as error:
        raise FailedPreconditionError(
            "CUDA kernels need NVRTC: pip install 'nexus-serving[cuda]'", reason="no_compiler"
        ) from error
    options = ProgramOptions(
        arch=f"sm_{arch}",
        std="c++17",
        define_macro=[(name, str(value)) for name, value in configuration.macros.items()],
    )
    try:
        program = Program(kernel_source(), "c++", options)
        return bytes(program.compile("cubin", cache=_cache(folder)).code)
    except Exception as error:  # cuda.core has no base of its own for what NVRTC says
        raise InternalError(
            f"{configuration} does not compile for sm_{arch}: {error}", reason="kernel_broken"
        ) from error


@functools.cache
def _cache(folder: str) -> object:
    from cuda.core.utils import FileStreamProgramCache  # noqa: PLC0415 - only with the extra

    Path(folder).mkdir(parents=True, exist_ok=True)
    return FileStreamProgramCache(folder)
