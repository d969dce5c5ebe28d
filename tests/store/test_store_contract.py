"""What every Store does, run against memory, Valkey and (where installed) Debian's Redis."""

import asyncio

import pytest

from nexus.core.errors import FencedError, MessageTooLargeError
from nexus.store.base import VALUE_BYTES_MAX, Subscription
from tests.store.place import Place

TTL_US = 60_000
A_MOMENT_US = 30_000
LONG_US = 10_000_000


async def test_get_of_an_unknown_key_is_none(place: Place) -> None:
    assert await place.store.get("nothing") is None


async def test_put_replaces_the_value(place: Place) -> None:
    await place.store.put("key", b"old")
    await place.store.put("key", bytes(range(256)))
    assert await place.store.get("key") == bytes(range(256))


async def test_put_with_ttl_expires_and_not_before(place: Place) -> None:
    await place.store.put("key", b"value", ttl_us=LONG_US)
    await place.store.put("brief", b"value", ttl_us=TTL_US)
    assert await place.store.get("brief") == b"value"
    await place.pass_time(TTL_US + A_MOMENT_US)
    assert await place.store.get("brief") is None
    assert await place.store.get("key") == b"value"


async def test_put_without_ttl_takes_an_older_ttl_away(place: Place) -> None:
    await place.store.put("key", b"brief", ttl_us=TTL_US)
    await place.store.put("key", b"for good")
    await place.pass_time(TTL_US + A_MOMENT_US)
    assert await place.store.get("key") == b"for good"


async def test_put_refuses_a_value_over_the_limit(place: Place) -> None:
    with pytest.raises(MessageTooLargeError, match="key 'big'"):
        await place.store.put("big", bytes(VALUE_BYTES_MAX + 1))
    with pytest.raises(MessageTooLargeError):
        await place.store.put_fenced("big", bytes(VALUE_BYTES_MAX + 1), 1)
    assert await place.store.get("big") is None


async def test_counter_grows_with_each_counted_write_only(place: Place) -> None:
    await place.store.put("key", b"value", counter="version")
    first = int(await place.store.get("version") or b"0")
    await place.store.put("key", b"value", ttl_us=LONG_US, counter="version")
    second = int(await place.store.get("version") or b"0")
    await place.store.put("key", b"value")
    await place.store.delete("key", counter="version")
    third = int(await place.store.get("version") or b"0")
    assert 0 < first < second < third


async def test_put_counted_keeps_the_ttl(place: Place) -> None:
    await place.store.put("key", b"value", ttl_us=TTL_US, counter="version")
    await place.pass_time(TTL_US + A_MOMENT_US)
    assert await place.store.get("key") is None
    assert await place.store.get("version") is not None


async def test_delete_says_whether_it_was_there(place: Place) -> None:
    await place.store.put("key", b"value")
    assert await place.store.delete("key")
    assert not await place.store.delete("key")
    assert not await place.store.delete("key", counter="version")
    await place.store.put("brief", b"value", ttl_us=TTL_US)
    await place.pass_time(TTL_US + A_MOMENT_US)
    assert not await place.store.delete("brief")


async def test_put_fenced_refuses_the_older_leader(place: Place) -> None:
    await place.store.put_fenced("plan", b"one", 1)
    await place.store.put_fenced("plan", b"one again", 1)
    await place.store.put_fenced("plan", b"two", 2)
    with pytest.raises(FencedError, match="older than 2"):
        await place.store.put_fenced("plan", b"late", 1)
    assert await place.store.get("plan") == b"two"


async def test_put_fenced_fences_each_key_apart(place: Place) -> None:
    await place.store.put_fenced("plan", b"two", 2)
    await place.store.put_fenced("table", b"one", 1)
    assert await place.store.get("table") == b"one"


async def test_put_fenced_race_is_won_by_the_greatest_fence(place: Place) -> None:
    async def write(fence: int) -> bool:
        try:
            await place.store.put_fenced("plan", str(fence).encode(), fence)
        except FencedError:
            return False
        return True

    written = await asyncio.gather(*(write(fence) for fence in (3, 9, 1, 7, 9, 2, 8, 4, 6, 5)))
    assert written[1]
    assert await place.store.get("plan") == b"9"


async def test_scan_finds_a_prefix_sorted(place: Place) -> None:
    for key in ("b/2", "b/10", "a/1", "b", "bb/1"):
        await place.store.put(key, key.encode())
    assert await place.store.scan("b/") == {"b/10": b"b/10", "b/2": b"b/2"}
    assert list(await place.store.scan("b/")) == ["b/10", "b/2"]
    assert await place.store.scan("c") == {}


async def test_scan_takes_glob_letters_as_they_are(place: Place) -> None:
    for key in ("a*b", "axb", "a[x]", "a?", "a\\c", "{d}:1"):
        await place.store.put(key, b"")
    assert set(await place.store.scan("a*")) == {"a*b"}
    assert set(await place.store.scan("a[x]")) == {"a[x]"}
    assert set(await place.store.scan("a?")) == {"a?"}
    assert set(await place.store.scan("a\\")) == {"a\\c"}
    assert set(await place.store.scan("{d}:")) == {"{d}:1"}


async def test_scan_leaves_expired_keys_out(place: Place) -> None:
    await place.store.put("a/1", b"", ttl_us=TTL_US)
    await place.store.put("a/2", b"")
    await place.pass_time(TTL_US + A_MOMENT_US)
    assert set(await place.store.scan("a/")) == {"a/2"}


async def test_scan_reads_more_than_one_page(place: Place) -> None:
    keys = [f"many/{index:04}" for index in range(1_200)]
    await asyncio.gather(*(place.store.put(key, key.encode()) for key in keys))
    assert await place.store.scan("many/") == {key: key.encode() for key in keys}


async def test_lease_is_held_by_one_who_renews_under_the_same_number(place: Place) -> None:
    number = await place.store.acquire_lease("lease", "one", LONG_US)
    assert number is not None
    assert await place.store.acquire_lease("lease", "two", LONG_US) is None
    assert await place.store.acquire_lease("lease", "one", LONG_US) == number
    assert await place.store.acquire_lease("other", "two", LONG_US) is not None


async def test_lease_race_has_one_winner(place: Place) -> None:
    numbers = await asyncio.gather(
        *(place.store.acquire_lease("lease", f"holder {i}", LONG_US) for i in range(20))
    )
    assert sum(number is not None for number in numbers) == 1


async def test_lease_is_taken_over_after_its_ttl_under_a_greater_number(place: Place) -> None:
    first = await place.store.acquire_lease("lease", "one", TTL_US)
    await place.pass_time(TTL_US + A_MOMENT_US)
    second = await place.store.acquire_lease("lease", "two", LONG_US)
    assert first is not None
    assert second is not None
    assert second > first
    assert await place.store.acquire_lease("lease", "one", TTL_US) is None


async def test_lease_lapsed_and_retaken_by_its_holder_has_a_greater_number(place: Place) -> None:
    first = await place.store.acquire_lease("lease", "one", TTL_US)
    await place.pass_time(TTL_US + A_MOMENT_US)
    second = await place.store.acquire_lease("lease", "one", TTL_US)
    assert first is not None
    assert second is not None
    assert second > first


async def test_lease_renewal_makes_it_last(place: Place) -> None:
    await place.store.acquire_lease("lease", "one", TTL_US)
    await place.store.acquire_lease("lease", "one", LONG_US)
    await place.pass_time(TTL_US + A_MOMENT_US)
    assert await place.store.acquire_lease("lease", "two", LONG_US) is None


async def test_lease_released_is_free_at_once(place: Place) -> None:
    first = await place.store.acquire_lease("lease", "one 1", LONG_US)
    await place.store.release_lease("lease", "one 1")
    second = await place.store.acquire_lease("lease", "two", LONG_US)
    assert first is not None
    assert second is not None
    assert second > first


async def test_lease_number_is_above_what_its_holder_has_seen(place: Place) -> None:
    """The store was exchanged for one that is empty and whose clock is behind."""
    seen = 9_000_000_000_000
    first = await place.store.acquire_lease("lease", "one", TTL_US, seen)
    assert first == seen + 1
    assert await place.store.acquire_lease("lease", "one", TTL_US, seen + 5) == first
    await place.pass_time(TTL_US + A_MOMENT_US)
    assert await place.store.acquire_lease("lease", "two", LONG_US) == seen + 2


async def test_lease_is_not_released_by_another(place: Place) -> None:
    await place.store.acquire_lease("lease", "one", LONG_US)
    await place.store.release_lease("lease", "two")
    await place.store.release_lease("nothing", "two")
    assert await place.store.acquire_lease("lease", "two", LONG_US) is None


async def settle(place: Place, subscription: Subscription) -> None:
    """Wait until a notification gets through, and take it: connecting wakes once by itself."""
    await place.store.notify("news")
    assert await subscription.wait(LONG_US)
    while await subscription.wait(A_MOMENT_US):
        pass


async def test_subscription_wakes_once_for_any_number_of_notifications(place: Place) -> None:
    subscription = place.store.subscribe("news", "more")
    await settle(place, subscription)
    await place.store.notify("news")
    await place.store.notify("more")
    await asyncio.sleep(0.05)
    assert await subscription.wait(LONG_US)
    assert not await subscription.wait(A_MOMENT_US)
    await subscription.close()


async def test_subscription_ignores_other_channels(place: Place) -> None:
    subscription = place.store.subscribe("news")
    await settle(place, subscription)
    await place.store.notify("other")
    assert not await subscription.wait(A_MOMENT_US)
    await subscription.close()


async def test_subscription_wakes_a_pending_wait(place: Place) -> None:
    subscription = place.store.subscribe("news")
    await settle(place, subscription)
    pending = asyncio.create_task(subscription.wait(LONG_US))
    await asyncio.sleep(0)
    await place.store.notify("news")
    assert await asyncio.wait_for(pending, timeout=5)
    await subscription.close()


async def test_subscription_closed_wakes_no_more(place: Place) -> None:
    subscription = place.store.subscribe("news")
    await settle(place, subscription)
    await subscription.close()
    await place.store.notify("news")
    assert not await subscription.wait(A_MOMENT_US)
