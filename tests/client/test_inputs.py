"""What callers hand in becomes the right tensors; what cannot, a clear error."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nexus.client.inputs import frame_bytes, tensors_from
from nexus.client.outputs import array_from, list_from
from nexus.core.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from nexus.core.tensor import DataType, Tensor

DTYPES = ["?", "<f2", "<f4", "<f8", "<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8"]


@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 4), max_size=3),
    seed=st.integers(0, 99),
)
def test_inputs_arrays_come_back_as_they_were(dtype: str, shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    (tensor,) = tensors_from({"x": array})
    back = array_from(tensor)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert list_from(tensor) == array.ravel().tolist()


def test_inputs_big_endian_and_strided_arrays_are_laid_out_anew() -> None:
    array = np.arange(12, dtype=">i4").reshape(3, 4)[:, ::2]
    (tensor,) = tensors_from({"x": array})
    assert tensor.shape == (3, 2)
    assert array_from(tensor).tolist() == [[0, 2], [4, 6], [8, 10]]


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "flat"),
    [
        ([[1, 2], [3, 4]], DataType.INT64, (2, 2), [1, 2, 3, 4]),
        ([1, 2.5], DataType.FP32, (2,), [1.0, 2.5]),
        ([True, False], DataType.BOOL, (2,), [True, False]),
        (["ab", b"c"], DataType.BYTES, (2,), [b"ab", b"c"]),
        (b"jpeg", DataType.BYTES, (1,), [b"jpeg"]),
        ("text", DataType.BYTES, (1,), [b"text"]),
        ([], DataType.BYTES, (0,), []),
    ],
)
def test_inputs_plain_values_get_their_natural_datatype(
    value: object, datatype: DataType, shape: tuple[int, ...], flat: list[object]
) -> None:
    (tensor,) = tensors_from({"x": value})  # type: ignore[dict-item] # that is the test
    assert (tensor.datatype, tensor.shape, list_from(tensor)) == (datatype, shape, flat)


def test_inputs_text_arrays_become_bytes_elements() -> None:
    (tensor,) = tensors_from({"x": np.array([["a", "bc"]])})
    assert (tensor.shape, list_from(tensor)) == ((1, 2), [b"a", b"bc"])
    assert array_from(tensor).tolist() == [[b"a", b"bc"]]


def test_inputs_tensors_pass_unchanged() -> None:
    tensor = Tensor("x", DataType.BF16, (1,), b"\x00\x00")
    assert tensors_from([tensor]) == (tensor,)
    with pytest.raises(FailedPreconditionError, match="BF16"):
        array_from(tensor)


def _endless() -> list[object]:
    endless: list[object] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1], [2, 3]], "ragged"),
        ([1, "a"], "list of int, str is not one type"),
        ([1, True], "list of bool, int is not one type"),
        ([2**63], "'x'"),
        ([1e300, 1.0], "'x'"),
        ([object()], "a object is no tensor"),
        (7, "a int is no tensor"),
        (np.zeros(2, np.complex64), "complex64"),
        (_endless(), "deep"),
    ],
)
def test_inputs_malformed_value_names_the_input(value: object, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        tensors_from({"x": value})  # type: ignore[dict-item] # that is the test
    assert "'x'" in caught.value.message


def test_frame_bytes_reads_bytes_paths_and_images(tmp_path: Path) -> None:
    path = tmp_path / "frame.jpg"
    path.write_bytes(b"content")
    assert frame_bytes(b"content") == frame_bytes(path) == frame_bytes(str(path)) == b"content"
    encoded = frame_bytes(Image.new("RGB", (8, 6)))
    assert Image.open(io.BytesIO(encoded)).size == (8, 6)


def test_frame_bytes_of_no_file_or_no_frame_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="absent"):
        frame_bytes(tmp_path / "absent.jpg")
    with pytest.raises(InvalidArgumentError, match="not int"):
        frame_bytes(3)  # type: ignore[arg-type] # that is the test
