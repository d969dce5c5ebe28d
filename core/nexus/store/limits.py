"""The checks that every store makes alike: the size of a value, the number of keys in a scan."""

from nexus.core.errors import FailedPreconditionError, MessageTooLargeError
from nexus.store.base import SCAN_KEYS_MAX, VALUE_BYTES_MAX


def require_value_size(key: str, value: bytes) -> None:
    """Raise MessageTooLargeError when ``value`` is over VALUE_BYTES_MAX."""
    if len(value) > VALUE_BYTES_MAX:
        raise MessageTooLargeError(
            f"store key {key!r}: a value of {len(value)} bytes is over the limit of "
            f"{VALUE_BYTES_MAX}",
            reason="value_too_large",
        )


def require_key_count(prefix: str, count: int) -> None:
    """Raise FailedPreconditionError when a scan met more than SCAN_KEYS_MAX keys."""
    if count > SCAN_KEYS_MAX:
        raise FailedPreconditionError(
            f"more than {SCAN_KEYS_MAX} store keys begin with {prefix!r}; "
            "remove what is not used, or give this cluster a store of its own",
            reason="too_many_keys",
        )


def fenced_message(key: str, fence: int, greatest: int) -> str:
    """What a leader reads when a newer one has written."""
    return (
        f"store key {key!r}: the lease number {fence} is older than {greatest}, which has written "
        "already; another leader has taken over, stop writing"
    )
