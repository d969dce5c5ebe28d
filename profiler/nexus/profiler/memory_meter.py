"""How much memory a model needs beside its weights while it runs: what activations take."""

from contextlib import suppress
from pathlib import Path
from typing import Protocol

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_BYTES_PER_KIB = 1024
# What a process may free between its peak being reset and both figures being read.
_RESET_SLACK_BYTES = 1 << 20


class MemoryMeter(Protocol):
    """Counts from ``start`` on."""

    def start(self) -> None:
        """Take what is in use now as zero."""
        ...

    def peak_bytes(self) -> int:
        """The most that was in use since, above zero."""
        ...


class NoMeter:
    """For devices whose memory nobody counts: the weights are all there is."""

    def start(self) -> None:
        """Nothing to start."""

    def peak_bytes(self) -> int:
        """Nothing was seen."""
        return 0


class ProcessMemory:
    """The resident memory of this process, as Linux counts it: right when nothing else runs in it.

    Where the kernel does not let us reset its peak (``resets_peak`` says so), an earlier, higher
    one hides what a small model takes, and the weights alone are reported.
    """

    def __init__(self) -> None:
        """Count from now on."""
        self._start_bytes = 0
        self.resets_peak = False
        self.start()

    def start(self) -> None:
        """See MemoryMeter."""
        with suppress(OSError):
            _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
        # Some sandboxes take the write and reset nothing, or count no peak: the outcome decides.
        peak, now = _peak_and_now()
        self.resets_peak = 0 <= peak - now < _RESET_SLACK_BYTES and now > 0
        self._start_bytes = now if self.resets_peak else peak

    def peak_bytes(self) -> int:
        """See MemoryMeter."""
        return max(0, _peak_and_now()[0] - self._start_bytes)


class CudaMemory:
    """What torch allocated on one GPU; its cache of free blocks does not count."""

    def __init__(self, index: int) -> None:
        """``index`` is torch's number of the GPU."""
        # Imported late: profiling on a CPU with onnxruntime does without torch.
        import torch  # noqa: PLC0415

        self._cuda = torch.cuda
        self._index = index
        self._start_bytes = 0

    def start(self) -> None:
        """See MemoryMeter."""
        self._cuda.reset_peak_memory_stats(self._index)
        self._start_bytes = self._cuda.memory_allocated(self._index)

    def peak_bytes(self) -> int:
        """See MemoryMeter."""
        peak: int = self._cuda.max_memory_allocated(self._index)
        return max(0, peak - self._start_bytes)


def _peak_and_now() -> tuple[int, int]:
    """The most that was resident and what is, read at one moment; 0 for what the kernel leaves out.

    Two readings would differ by what the first one took.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    values = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    peak, now = (int(values.get(name, ("0",))[0]) for name in ("VmHWM", "VmRSS"))
    return peak * _BYTES_PER_KIB, now * _BYTES_PER_KIB
