"""Short pauses for servers that answer within milliseconds.

A full collection walks every object that start-up and the imports left behind, some 200,000, and
holds the event loop for tens of milliseconds. Those objects live as long as the process, so they
are taken out of the collector's sight; and requests free their objects by reference count, so
looking for cycles can be rare.

The thread in which gRPC waits for its sockets needs the interpreter for a moment at every event.
While the event loop is busy it gets it only after the switch interval, which is 5 ms by default.
"""

import gc
import sys

YOUNG_OBJECTS = 20_000
"""Objects allocated and not freed before the youngest generation is looked at (CPython: 700)."""
OLDER_GENERATIONS = 20
"""Collections of one generation before the next older one is looked at (CPython: 10)."""

SWITCH_INTERVAL_S = 0.0005


def shorten_pauses() -> None:
    """Call it once a server serves: everything allocated so far is taken for permanent."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, OLDER_GENERATIONS, OLDER_GENERATIONS)
