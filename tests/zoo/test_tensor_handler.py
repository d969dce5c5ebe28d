"""The default handler, and tensors to arrays and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.errors import InternalError, InvalidArgumentError
from nexus.core.finding import Region
from nexus.core.model import EngineKind, Model
from nexus.core.tensor import DataType, Tensor, TensorSpec, pack_bytes_elements
from nexus.zoo.arrays import array_from, tensor_from
from nexus.zoo.tensor_handler import TensorHandler
from tests.zoo.pictures import floats

MODEL = Model(
    name="m",
    engine=EngineKind.EMULATED,
    inputs=(
        TensorSpec("a", DataType.FP32, (-1, 2)),
        TensorSpec("b", DataType.FP32, (-1, -1)),
    ),
    outputs=(TensorSpec("sum", DataType.FP64, (-1, 2)),),
)
HANDLER = TensorHandler(MODEL)


def test_tensor_handler_rows_become_samples_in_declared_order() -> None:
    tensors = (floats("b", [[5], [6]]), floats("a", [[1, 2], [3, 4]]))
    samples = HANDLER.preprocess(tensors, ())
    assert [[array.tolist() for array in sample.inputs] for sample in samples] == [
        [[1, 2], [5]],
        [[3, 4], [6]],
    ]
    batch = HANDLER.collate((*samples, samples[0]))
    assert [array.shape for array in batch] == [(3, 2), (3, 1)]


def test_tensor_handler_outputs_take_declared_name_and_type() -> None:
    samples = HANDLER.preprocess((floats("a", [[1, 2]]), floats("b", [[5]])), ())
    items, tensors = HANDLER.postprocess((np.array([[6, 7]], np.float32),), samples)
    assert items == ()
    assert tensors == (
        Tensor("sum", DataType.FP64, (1, 2), np.array([6, 7], np.float64).tobytes()),
    )


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ((floats("a", [[1, 2]]),), r"takes the inputs \['a', 'b'\], got \['a'\]"),
        ((floats("a", [[1, 2]]), floats("a", [[1, 2]])), "takes the inputs"),
        ((floats("a", [[1, 2, 3]]), floats("b", [[1]])), r"input 'a' is FP32 \[-1, 2\]"),
        ((floats("a", [[1, 2]]), floats("b", [[1], [2]])), "same number"),
        ((floats("a", np.ones((0, 2))), floats("b", np.ones((0, 1)))), "same number"),
    ],
)
def test_tensor_handler_bad_inputs_are_named(tensors: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        HANDLER.preprocess(tensors, ())


def test_tensor_handler_wrong_datatype_is_refused() -> None:
    whole = Tensor("a", DataType.INT32, (1, 2), bytes(8))
    with pytest.raises(InvalidArgumentError, match=r"got INT32 \[1, 2\]"):
        HANDLER.preprocess((whole, floats("b", [[1]])), ())


def test_tensor_handler_takes_no_crops() -> None:
    with pytest.raises(InvalidArgumentError, match="not crops"):
        HANDLER.preprocess((floats("a", [[1, 2]]), floats("b", [[1]])), (Region(0, 0, 1, 1),))


def test_tensor_handler_mixed_shapes_do_not_share_a_batch() -> None:
    short = HANDLER.preprocess((floats("a", [[1, 2]]), floats("b", [[1]])), ())
    long = HANDLER.preprocess((floats("a", [[1, 2]]), floats("b", [[1, 2, 3]])), ())
    with pytest.raises(InvalidArgumentError, match="different shapes"):
        HANDLER.collate((*short, *long))


def test_tensor_handler_network_that_breaks_its_declaration_is_a_defect() -> None:
    samples = HANDLER.preprocess((floats("a", [[1, 2]]), floats("b", [[1]])), ())
    with pytest.raises(InternalError, match="declares 1 outputs, its network gave 2"):
        HANDLER.postprocess((np.ones((1, 2)), np.ones((1, 2))), samples)
    with pytest.raises(InternalError, match="for 1 items"):
        HANDLER.postprocess((np.ones((2, 2)),), samples)


FIXED = [d for d in DataType if d not in (DataType.BYTES, DataType.BOOL)]


@given(st.sampled_from(FIXED), st.binary(min_size=48, max_size=48))
def test_arrays_round_trip_keeps_every_bit(datatype: DataType, content: bytes) -> None:
    tensor = Tensor("t", datatype, (2, 24 // datatype.item_bytes), content)
    array = array_from(tensor)
    assert array.shape == tensor.shape
    if not np.isnan(array.astype(np.float64)).any():  # a NaN's payload is not promised
        assert tensor_from("t", datatype, array) == tensor


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=6))
def test_arrays_bytes_round_trip(elements: list[bytes]) -> None:
    tensor = Tensor("t", DataType.BYTES, (len(elements), 1), pack_bytes_elements(elements))
    assert array_from(tensor).ravel().tolist() == elements
    assert tensor_from("t", DataType.BYTES, array_from(tensor)) == tensor


def test_arrays_bf16_rounds_to_nearest_even() -> None:
    # 1 + 2**-8 lies half way between two BF16 numbers; 1 has the even mantissa.
    array = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-7], np.float32)
    assert array_from(tensor_from("t", DataType.BF16, array)).tolist() == [
        1.0,
        1 + 2**-6,
        1 + 2**-7,
    ]
