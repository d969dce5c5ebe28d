"""A session that is both pooled and local: which of its items go to the pool (ADR 0020)."""


class TrafficSplit:
    """Divides items in proportion to the planned rates, by what each side is owed.

    Deterministic, and never more than one request off: no side sees a burst that is not the
    session's own.
    """

    def __init__(self) -> None:
        """Begin with nothing owed, and everything local."""
        self._pool_part = 0.0
        self._owed_to_pool = 0.0

    def update(self, pool_rate: float, local_rate: float) -> None:
        """Divide by these rates (items/s) from now on; without either, all go to the pool."""
        total = pool_rate + local_rate
        self._pool_part = pool_rate / total if total > 0 else 1.0
        self._owed_to_pool = 0.0

    def goes_to_pool(self, items: int) -> bool:
        """Whether the next ``items`` go to the pool; they are counted."""
        self._owed_to_pool += self._pool_part * items
        if self._owed_to_pool <= 0:
            return False
        self._owed_to_pool -= items
        return True
