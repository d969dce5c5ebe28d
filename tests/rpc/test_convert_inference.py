"""The Open Inference Protocol's data rules, at the edge where they are enforced."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.errors import InvalidArgumentError
from nexus.core.tensor import DataType, Tensor
from nexus.inference.open_inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from nexus.rpc.convert_inference import (
    TENSORS_MAX,
    parameters_from_pb,
    request_from_tensors,
    response_from_tensors,
    set_parameters,
    tensors_from_request,
    tensors_from_response,
)
from nexus.rpc.typed_contents import contents_from_raw, raw_from_contents
from tests.strategies import names, tensors, words

RAW_ONLY = {DataType.FP16, DataType.BF16}
TYPED = tuple(datatype for datatype in DataType if datatype not in RAW_ONLY)

unique_tensors = st.lists(tensors(), min_size=1, max_size=3, unique_by=lambda t: t.name)
parameters = st.dictionaries(
    names,
    st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | words,
    max_size=2,
)


def fp32(name: str, values: list[float]) -> Tensor:
    return Tensor(name, DataType.FP32, (len(values),), struct.pack(f"<{len(values)}f", *values))


@given(sent=unique_tensors, request_id=words, wanted=parameters)
def test_request_round_trips_raw(
    sent: list[Tensor], request_id: str, wanted: dict[str, bool | int | float | str]
) -> None:
    request = request_from_tensors("m", sent, request_id=request_id, parameters=wanted)
    read = ModelInferRequest.FromString(request.SerializeToString())
    assert list(tensors_from_request(read)) == sent
    assert parameters_from_pb(read.parameters) == wanted
    assert (read.model_name, read.id) == ("m", request_id)


@given(sent=unique_tensors)
def test_response_round_trips_raw(sent: list[Tensor]) -> None:
    request = ModelInferRequest(model_name="m", id="7")
    response = response_from_tensors(request, sent, version="3")
    read = ModelInferResponse.FromString(response.SerializeToString())
    assert list(tensors_from_response(read)) == sent
    assert (read.model_name, read.model_version, read.id) == ("m", "3", "7")
    assert not any(output.HasField("contents") for output in read.outputs)


@given(sent=tensors(TYPED))
def test_typed_contents_round_trip(sent: Tensor) -> None:
    contents = contents_from_raw(sent.name, sent.datatype, sent.content)
    read = InferTensorContents.FromString(contents.SerializeToString())
    raw = raw_from_contents(sent.name, sent.datatype, read)
    if sent.datatype is DataType.BOOL:
        assert [byte != 0 for byte in raw] == [byte != 0 for byte in sent.content]
    elif sent.datatype in {DataType.FP32, DataType.FP64}:
        letter = "f" if sent.datatype is DataType.FP32 else "d"
        code = f"<{len(raw) // sent.datatype.item_bytes}{letter}"
        # By repr, since NaN is not NaN; and a signalling one may come back quiet.
        assert repr(struct.unpack(code, raw)) == repr(struct.unpack(code, sent.content))
    else:
        assert raw == sent.content


def test_typed_request_reads_as_the_raw_one() -> None:
    request = ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[2, 1]).contents.fp32_contents.extend(
        [1.5, -2.0]
    )
    request.inputs.add(name="y", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"abc")
    x, y = tensors_from_request(request)
    assert x == Tensor("x", DataType.FP32, (2, 1), struct.pack("<2f", 1.5, -2.0))
    assert y == Tensor("y", DataType.BYTES, (1,), b"\x03\0\0\0abc")


def two_inputs() -> ModelInferRequest:
    return request_from_tensors("m", [fp32("a", [1.0]), fp32("b", [2.0, 3.0])], request_id="r9")


def change(request: ModelInferRequest, name: str) -> None:
    """Break the request in the named way."""
    changes: dict[str, Callable[[], object]] = {
        "extra raw": lambda: request.raw_input_contents.append(b"zz"),
        "missing raw": request.raw_input_contents.pop,
        "raw and contents": lambda: request.inputs[1].contents.fp32_contents.append(1.0),
        "byte count": lambda: request.raw_input_contents.__setitem__(0, b"12345"),
        "datatype": lambda: setattr(request.inputs[0], "datatype", "FP8"),
        "negative shape": lambda: request.inputs[0].shape.__setitem__(0, -1),
        "huge shape": lambda: request.inputs[0].shape.extend([2**62, 2**62]),
        "rank": lambda: request.inputs[0].shape.extend([1] * 40),
        "no name": lambda: setattr(request.inputs[0], "name", ""),
        "twice": lambda: setattr(request.inputs[1], "name", "a"),
        "shared memory": lambda: set_parameters(
            request.inputs[0].parameters, {"shared_memory_region": "shm0"}
        ),
        "too many": lambda: request.inputs.extend([request.inputs[0]] * TENSORS_MAX),
    }
    changes[name]()


REFUSED = {
    "extra raw": ("expected 2 raw input contents", "got 3", "'a', 'b'"),
    "missing raw": ("expected 2 raw input contents", "got 1", "none for 'b'"),
    "raw and contents": ("'b'", "typed contents beside raw"),
    "byte count": ("'a'", "needs 4 bytes", "got 5"),
    "datatype": ("'a'", "'FP8'", "FP32"),
    "negative shape": ("'a'", "[-1]"),
    "huge shape": ("'a'", "got 4"),
    "rank": ("'a'", "at most 32 dimensions", "got 41"),
    "no name": ("no name",),
    "twice": ("'a' is given twice",),
    "shared memory": ("'a'", "shared memory"),
    "too many": ("at most 256 inputs", "got 258"),
}


@pytest.mark.parametrize("broken", REFUSED)
def test_request_that_breaks_a_rule_names_the_tensor(broken: str) -> None:
    request = two_inputs()
    change(request, broken)
    with pytest.raises(InvalidArgumentError) as caught:
        tensors_from_request(request)
    assert caught.value.message.startswith("[request id: r9] ")
    for part in REFUSED[broken]:
        assert part in caught.value.message


def typed(datatype: str, **contents: Any) -> ModelInferRequest:
    request = ModelInferRequest(model_name="m")
    request.inputs.add(
        name="x", datatype=datatype, shape=[1], contents=InferTensorContents(**contents)
    )
    return request


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (typed("INT8", int_contents=[300]), "out of the range of INT8"),
        (typed("UINT8", uint_contents=[256]), "out of the range of UINT8"),
        (typed("FP32", fp64_contents=[1.0]), "belong in fp32_contents, got fp64_contents"),
        (typed("FP16", fp32_contents=[1.0]), "FP16 has no typed contents"),
        (typed("INT64", int64_contents=[1, 2]), "needs 8 bytes, got 16"),
        (typed("FP32"), "needs 4 bytes, got 0"),
    ],
)
def test_typed_contents_that_do_not_fit_are_refused(
    request_: ModelInferRequest, expected: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        tensors_from_request(request_)
    assert "'x'" in caught.value.message
    assert expected in caught.value.message


def test_request_ignores_unknown_parameters() -> None:
    request = two_inputs()
    set_parameters(request.parameters, {"triton_enable_empty_final_response": True})
    set_parameters(request.inputs[0].parameters, {"binary_data_size": 4})
    assert len(tensors_from_request(request)) == 2


def test_request_without_inputs_has_no_tensors() -> None:
    assert tensors_from_request(ModelInferRequest(model_name="m")) == ()


def test_parameters_without_a_value_are_left_out() -> None:
    assert parameters_from_pb({"x": InferParameter()}) == {}


def test_response_holds_the_requested_outputs_in_their_order() -> None:
    request = request_from_tensors("m", [], outputs=["b", "a"])
    outputs = [fp32("a", [1.0]), fp32("b", [2.0]), fp32("c", [3.0])]
    response = response_from_tensors(request, outputs, version="1")
    assert [output.name for output in response.outputs] == ["b", "a"]
    assert list(response.raw_output_contents) == [outputs[1].content, outputs[0].content]


def test_response_refuses_an_output_the_model_does_not_have() -> None:
    request = request_from_tensors("m", [], outputs=["zzz"])
    with pytest.raises(InvalidArgumentError, match="'zzz' for model 'm'; its outputs are a"):
        response_from_tensors(request, [fp32("a", [1.0])], version="1")
