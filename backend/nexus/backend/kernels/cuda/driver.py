"""Whether this machine has an NVIDIA driver, asked in the one way that is safe without one.

With no driver, cuda.core's objects raise, and later calls in the same process may hang: so nothing
of it but the compiler is touched before this has said yes.
"""

import ctypes
import sys
from functools import cache

from nexus.core.errors import FailedPreconditionError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@cache
def driver_present() -> bool:
    """Whether the driver's library can be loaded."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def require_driver() -> None:
    """Raise FailedPreconditionError where there is none."""
    if not driver_present():
        raise FailedPreconditionError(
            f"{LIBRARY} cannot be loaded: this machine has no NVIDIA driver, so no CUDA kernel can "
            "run on it (compiling needs none)",
            reason="no_driver",
        )
