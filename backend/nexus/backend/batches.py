"""A batch of what was taken from a group's queue: who is in it, and in which order."""

from collections.abc import Sequence

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued
from nexus.backend.events import Batch
from nexus.backend.hosted_group import HostedGroup
from nexus.core.names import SessionName


def batch_of(
    number: int,
    group: HostedGroup,
    taken: Sequence[Queued],
    ends_with: DispatchKey | None = None,
) -> Batch:
    """The batch of ``taken``, the most urgent first; or a chunk of them, see ``Batch.ends_with``.

    In a prefix group they are put in the order of their models, so that each model's own layers
    see one contiguous slice (nexus.md 2.6).
    """
    shares: dict[SessionName, int] = {}
    for queued in taken:
        shares[queued.session] = shares.get(queued.session, 0) + queued.items
    if len(shares) > 1:
        model_of = {name: group.members[name].placement.model for name in shares}
        keys = tuple([q.key for q in sorted(taken, key=lambda q: model_of[q.session])])
    else:
        keys = tuple([queued.key for queued in taken])
    items = sum(shares.values())
    return Batch(number, taken[0].session, group.key.profile, keys, items, shares, ends_with)
