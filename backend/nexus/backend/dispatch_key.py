"""Which dispatch: its connection, and the id its frontend gave it on that connection."""

from typing import NamedTuple


class DispatchKey(NamedTuple):
    """Unique within one backend process: connection numbers are never used again."""

    connection: int
    dispatch: int
