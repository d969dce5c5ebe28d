"""``nexus store``: the embedded store as a server of a local cluster, with a ready line like all.

Being a process of its own it is supervised, and killed in tests, as every other server.
"""

import argparse
import os
import signal
from pathlib import Path

from nexus.store.embedded import start_embedded

EXAMPLE = "  nexus store --data-dir /var/lib/nexus"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CHECK_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port; always on loopback")
    parser.add_argument("--data-dir", type=Path, required=True, help="keeps what is declared")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT (0), or until the store itself ends (1)."""
    port = int(arguments.listen.rpartition(":")[2])
    with start_embedded(port=port, data_dir=arguments.data_dir) as server:
        # Only now: the store would inherit a blocked SIGTERM.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        address = server.url.removeprefix("redis://")
        print(f"ready component=store name=store data={address}", flush=True)
        return 0 if _wait_for_stop(server.pid) else 1


def _wait_for_stop(store_pid: int) -> bool:
    """True when told to stop; False when the store ended by itself."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.waitid(os.P_PID, store_pid, flags) is None:
        if signal.sigtimedwait(_STOP_SIGNALS, _CHECK_S) is not None:
            return True
    return False
