"""Ownership: all frontends agree, and when one goes only its own pools move."""

from collections import Counter

from nexus.frontend.ownership import ranking

FRONTENDS = tuple(f"f{n}" for n in range(8))
POOLS = tuple(f"resnet50@{n}ms" for n in range(400))


def test_ownership_does_not_depend_on_the_order_of_names() -> None:
    for pool in POOLS[:20]:
        assert ranking(pool, FRONTENDS) == ranking(pool, reversed(FRONTENDS))


def test_ownership_is_the_same_in_every_process() -> None:
    assert ranking("p", ("f0", "f1", "f2")) == ("f1", "f0", "f2")


def test_ownership_spreads_pools_over_frontends() -> None:
    owned = Counter(ranking(pool, FRONTENDS)[0] for pool in POOLS)
    assert set(owned) == set(FRONTENDS)
    assert max(owned.values()) < 2 * len(POOLS) / len(FRONTENDS)


def test_ownership_moves_only_the_pools_of_who_went() -> None:
    left = FRONTENDS[1:]
    for pool in POOLS:
        before = ranking(pool, FRONTENDS)
        assert ranking(pool, left) == tuple(name for name in before if name in left)
