"""One item on its way through a baseline: what a policy queues, batches or drops."""

from dataclasses import dataclass
from typing import TypeAlias

from nexus.simulator.baselines.query_walk import QueryWalk

Line: TypeAlias = int
"""Which served session an item belongs to: its index in ``Situation.served``."""


@dataclass(slots=True, eq=False)
class Item:
    """One model input, ready to be executed.

    A batch with the item in it must be finished by ``deadline_us``. ``frontend`` is the index of
    the frontend it came through. ``walk`` is the query it belongs to and ``stage`` the stage's
    index there; None for a request to a session.
    """

    line: Line
    frontend: int
    request_id: int
    deadline_us: int
    walk: QueryWalk | None = None
    stage: int = 0
