"""A batch of what was taken from a group's queue: who is in it, and in which order."""

from collections.abc import Sequence

from nexus.backend.dispatch_queue import Queued
from nexus.backend.events import Batch
from nexus.backend.hosted_group import HostedGroup


def batch_of(number: int, group: HostedGroup, taken: Sequence[Queued]) -> Batch:
    """The batch of ``taken``, the most urgent first.

    In a prefix group they are put in the order of their models, so that each model's own layers
    see one contiguous slice (nexus.md 2.6).
    """
    shares: dict[str, int] = {}
    for queued in taken:
        shares[queued.session] = shares.get(queued.session, 0) + queued.items
    session = taken[0].session
    if len(shares) > 1:
        model_of = {name: group.members[name].placement.model for name in shares}
        taken = sorted(taken, key=lambda queued: model_of[queued.session])
    return Batch(
        number,
        session,
        group.key.profile,
        tuple([queued.key for queued in taken]),
        sum(shares.values()),
        shares,
    )
