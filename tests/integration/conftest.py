"""The cluster that all integration tests share."""

from collections.abc import Iterator

import pytest

from tests.integration.shared_cluster import SharedCluster, shared_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedCluster]:
    with shared_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started
