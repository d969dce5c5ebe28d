"""Every dispatch gets its own rows and nobody else's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.scatter import scatter
from nexus.core.errors import InternalError


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(1, 3))
def test_scatter_gives_each_dispatch_exactly_its_rows(counts: list[int], outputs: int) -> None:
    owner = np.repeat(np.arange(len(counts)), counts)
    arrays = tuple(
        np.stack([owner, np.full_like(owner, number)], axis=1) for number in range(outputs)
    )
    parts = scatter(arrays, counts)
    assert len(parts) == len(counts)
    for index, (count, part) in enumerate(zip(counts, parts, strict=True)):
        assert len(part) == outputs
        for number, array in enumerate(part):
            assert array.tolist() == [[index, number]] * count


@pytest.mark.parametrize("shape", [(3,), (5, 2), ()])
def test_scatter_refuses_outputs_without_the_batch(shape: tuple[int, ...]) -> None:
    with pytest.raises(InternalError, match="dimension 0 must be the batch"):
        scatter((np.zeros(shape),), [1, 3])
