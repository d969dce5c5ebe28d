"""No garbage collection while a plan is made: it would look through all of it, again and again.

Planning ten thousand sessions makes several hundred thousand objects and not one cycle. Counting
references frees what is left over; the collector only ever finds everything still in use.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_deferred() -> Iterator[None]:
    """Collect no cycles within; where they were collected before, they are again afterwards."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
