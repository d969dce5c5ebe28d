"""A store under test, with the way time passes in it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nexus.store import Store


@dataclass
class Place:
    """``pass_time(us)`` lets at least so much of the store's time go by."""

    store: Store
    pass_time: Callable[[int], Awaitable[None]]
