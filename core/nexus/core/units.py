"""Time and size units. Inside the system time is integer microseconds and memory is bytes."""

US_PER_MS = 1_000
US_PER_S = 1_000_000
BYTES_PER_MB = 1_000_000


def us_from_ms(milliseconds: float) -> int:
    """Milliseconds to whole microseconds, rounded to nearest."""
    return round(milliseconds * US_PER_MS)


def us_from_s(seconds: float) -> int:
    """Seconds to whole microseconds, rounded to nearest."""
    return round(seconds * US_PER_S)


def ms_from_us(microseconds: float) -> float:
    """Microseconds to milliseconds, for people and JSON."""
    return microseconds / US_PER_MS


def s_from_us(microseconds: float) -> float:
    """Microseconds to seconds, for Prometheus and timeouts."""
    return microseconds / US_PER_S
