"""Become another program that ends when the parent does: ``-m nexus.store.bound_child PID ARGV…``.

The kernel is asked to send SIGTERM when the parent dies, even by ``kill -9``; then this process
turns into the program. A process of its own does this, not a hook between fork and exec, because
such hooks are not safe in a parent with threads. Linux only: elsewhere the program just starts.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Bind to the parent whose pid is ``arguments[0]`` and run ``arguments[1:]``."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the parent has ended already")
    os.execv(program[0], program)  # noqa: S606 - the point is to become it, without a shell


if __name__ == "__main__":
    main(sys.argv[1:])
