"""What start-up allocated is out of the garbage collector's sight; cycles made later are not."""

import subprocess
import sys

SCRIPT = """
import gc, weakref
from nexus.rpc.pauses import shorten_pauses
shorten_pauses()
assert gc.get_freeze_count() > 1_000, gc.get_freeze_count()
class Ring: pass
ring = Ring(); ring.self = ring
gone = weakref.ref(ring)
del ring
gc.collect()
assert gone() is None
"""


def test_pauses_freeze_what_is_there_and_still_free_cycles() -> None:
    # In a process of its own: frozen objects stay frozen for the rest of a test run.
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
