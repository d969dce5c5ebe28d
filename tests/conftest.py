"""Test-wide settings: hypothesis is derandomised so that a red run is red again."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from nexus.store.embedded import start_embedded

settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Valkey server for the whole run; use a cluster name of your own to be alone."""
    with start_embedded() as server:
        yield server.url
