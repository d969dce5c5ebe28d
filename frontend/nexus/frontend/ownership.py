"""Which frontend owns a pool: rendezvous hashing, so all agree without a word (ADR 0020).

Every frontend ranks the live ones by a hash of (pool, frontend) and the first is the owner. When
one dies only its own pools move, each to the next in its ranking; a newcomer takes over only the
pools that rank it first.
"""

from collections.abc import Iterable
from hashlib import blake2b

from nexus.core.names import FrontendName, PoolName

_DIGEST_BYTES = 8


def ranking(pool: PoolName, frontends: Iterable[FrontendName]) -> tuple[FrontendName, ...]:
    """The frontends in the order in which they would own the pool; names break ties."""
    return tuple(sorted(frontends, key=lambda name: (_weight(pool, name), name)))


def _weight(pool: PoolName, frontend: FrontendName) -> bytes:
    """A hash that is the same in every process; names hold no NUL, so pairs cannot be confused."""
    return blake2b(f"{pool}\0{frontend}".encode(), digest_size=_DIGEST_BYTES).digest()
