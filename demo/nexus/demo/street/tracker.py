"""Who is the same person? Identities from appearance embeddings alone, over a whole stream.

Two embeddings belong together when their cosine is high. Each identity remembers a running mean
of what it looked like; in each frame the likeliest pairs are matched first, one person an identity.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]

LIKENESS_MIN = 0.75
"""Between what was measured on the street video: one person again 0.83-0.98, others up to 0.71."""
MEMORY = 0.8
"""Part of an identity's remembered look that stays when it is seen again."""
IDENTITIES_MAX = 100
"""The identity not seen for the longest time is forgotten when one more appears."""


@dataclass(slots=True)
class Identity:
    """One person; ``look`` has length one, ``seen`` is the number of the frame it was last in."""

    number: int
    look: Vectors
    seen: int


@dataclass(slots=True)
class Tracker:
    """Gives each embedding of a frame the number of an identity, from 1."""

    identities: list[Identity] = field(default_factory=list)
    known: int = 0
    """How many identities there were in all."""
    _frame: int = 0

    def identify(self, embeddings: Vectors) -> tuple[int, ...]:
        """The identity of each row [n, size] (length one each) of one frame."""
        self._frame += 1
        matches = self._matches(embeddings)
        return tuple(
            self._seen(matches[row], look) if row in matches else self._appeared(look)
            for row, look in enumerate(embeddings)
        )

    def _matches(self, embeddings: Vectors) -> dict[int, Identity]:
        if not self.identities:
            return {}
        likeness = embeddings @ np.stack([identity.look for identity in self.identities]).T
        matches: dict[int, Identity] = {}
        taken: set[int] = set()
        for place in np.argsort(-likeness, axis=None, kind="stable"):
            row, column = divmod(int(place), len(self.identities))
            if likeness[row, column] < LIKENESS_MIN:
                break
            if row not in matches and column not in taken:
                matches[row] = self.identities[column]
                taken.add(column)
        return matches

    def _seen(self, identity: Identity, look: Vectors) -> int:
        mixed = MEMORY * identity.look + (1 - MEMORY) * look
        identity.look = (mixed / np.linalg.norm(mixed)).astype(np.float32)
        identity.seen = self._frame
        return identity.number

    def _appeared(self, look: Vectors) -> int:
        if len(self.identities) >= IDENTITIES_MAX:
            self.identities.remove(min(self.identities, key=lambda identity: identity.seen))
        self.known += 1
        self.identities.append(Identity(self.known, look, self._frame))
        return self.known
