"""The Open Inference Protocol's messages to core tensors and back.

The protocol's data rules are enforced here, so that nothing behind the edge meets a malformed
tensor. Every error names the tensor, what was expected and what came. Unknown parameters are
ignored, as the protocol asks. Answers are always raw: every client accepts that, whichever form it
asked in.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from nexus.core.errors import InvalidArgumentError
from nexus.core.tensor import Tensor
from nexus.inference import open_inference_pb2 as pb
from nexus.rpc.convert_results import datatype_named
from nexus.rpc.typed_contents import raw_from_contents

TENSORS_MAX = 256
"""Inputs of one request."""

RANK_MAX = 32
"""Dimensions of one tensor."""

INT64_MAX = 2**63 - 1

Parameter: TypeAlias = bool | int | float | str


class _Named(Protocol):
    """An input or output tensor of either direction's message."""

    @property
    def name(self) -> str: ...
    @property
    def datatype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int]: ...
    @property
    def parameters(self) -> Mapping[str, pb.InferParameter]: ...
    @property
    def contents(self) -> pb.InferTensorContents: ...


def tensors_from_request(request: pb.ModelInferRequest) -> tuple[Tensor, ...]:
    """The inputs of a request, in its order.

    Raises:
        InvalidArgumentError: an input breaks the data rules; the message begins with the request's
            id when it has one, and names the input.
    """
    try:
        return _tensors("input", request.inputs, request.raw_input_contents)
    except InvalidArgumentError as error:
        if not request.id:
            raise
        raise InvalidArgumentError(
            f"[request id: {request.id}] {error.message}", reason=error.reason
        ) from error


def tensors_from_response(response: pb.ModelInferResponse) -> tuple[Tensor, ...]:
    """The outputs of a response; raise InvalidArgumentError when the server broke the rules."""
    return _tensors("output", response.outputs, response.raw_output_contents)


def request_from_tensors(
    model: str,
    tensors: Iterable[Tensor],
    *,
    version: str = "",
    request_id: str = "",
    parameters: Mapping[str, Parameter] | None = None,
    outputs: Iterable[str] = (),
) -> pb.ModelInferRequest:
    """A request with raw contents; no ``outputs`` asks for all of them."""
    request = pb.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    set_parameters(request.parameters, parameters or {})
    for tensor in tensors:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype.value, shape=tensor.shape)
        request.raw_input_contents.append(tensor.content)
    for name in outputs:
        request.outputs.add(name=name)
    return request


def response_from_tensors(
    request: pb.ModelInferRequest, tensors: Iterable[Tensor], *, version: str
) -> pb.ModelInferResponse:
    """The answer to a request, always raw, with the request's id and only the outputs it asked.

    Raises:
        InvalidArgumentError: the request asks for an output that the model does not have.
    """
    response = pb.ModelInferResponse(
        model_name=request.model_name, model_version=version, id=request.id
    )
    for tensor in _requested(request, tuple(tensors)):
        response.outputs.add(name=tensor.name, datatype=tensor.datatype.value, shape=tensor.shape)
        response.raw_output_contents.append(tensor.content)
    return response


def parameters_from_pb(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Parameter]:
    """Request parameters as plain values; one without a value is left out."""
    plain: dict[str, Parameter] = {}
    for key, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None:
            plain[key] = getattr(parameter, choice)
    return plain


def set_parameters(
    target: Mapping[str, pb.InferParameter], parameters: Mapping[str, Parameter]
) -> None:
    """Fill a message's parameter map (reading a missing key of it makes the entry)."""
    for key, value in parameters.items():
        match value:
            case bool():
                target[key].bool_param = value
            case int() if value > INT64_MAX:
                target[key].uint64_param = value
            case int():
                target[key].int64_param = value
            case float():
                target[key].double_param = value
            case str():
                target[key].string_param = value


def _requested(request: pb.ModelInferRequest, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if not request.outputs:
        return tensors
    by_name = {tensor.name: tensor for tensor in tensors}
    for output in request.outputs:
        if output.name not in by_name:
            raise InvalidArgumentError(
                f"unexpected inference output {output.name!r} for model {request.model_name!r}; "
                f"its outputs are {', '.join(by_name) or 'none'}",
                reason="unknown_output",
            )
    return tuple(by_name[output.name] for output in request.outputs)


def _tensors(kind: str, named: Sequence[_Named], raw: Sequence[bytes]) -> tuple[Tensor, ...]:
    if len(named) > TENSORS_MAX:
        raise InvalidArgumentError(
            f"expected at most {TENSORS_MAX} {kind}s, got {len(named)}", reason="too_many_tensors"
        )
    seen: set[str] = set()
    for tensor in named:
        _require_plain(kind, tensor, seen)
        seen.add(tensor.name)
    if not raw:
        return tuple(_tensor_from_contents(tensor) for tensor in named)
    _require_matching(kind, named, raw)
    return tuple(_tensor(tensor, content) for tensor, content in zip(named, raw, strict=True))


def _require_plain(kind: str, tensor: _Named, seen: set[str]) -> None:
    if not tensor.name:
        raise InvalidArgumentError(f"an {kind} tensor has no name", reason="invalid_tensor")
    if tensor.name in seen:
        raise InvalidArgumentError(
            f"{kind} {tensor.name!r} is given twice", reason="duplicate_tensor"
        )
    if len(tensor.shape) > RANK_MAX:
        raise InvalidArgumentError(
            f"{kind} {tensor.name!r}: expected at most {RANK_MAX} dimensions, "
            f"got {len(tensor.shape)}",
            reason="invalid_shape",
        )
    if "shared_memory_region" in tensor.parameters:
        raise InvalidArgumentError(
            f"{kind} {tensor.name!r} is in shared memory, which this server does not offer; "
            "send the content in the request",
            reason="shared_memory",
        )


def _require_matching(kind: str, named: Sequence[_Named], raw: Sequence[bytes]) -> None:
    """One raw entry a tensor, and no typed contents beside them."""
    names = ", ".join(repr(tensor.name) for tensor in named)
    if len(raw) > len(named):
        raise InvalidArgumentError(
            f"expected {len(named)} raw {kind} contents, one each for {names or 'nothing'}, "
            f"got {len(raw)}: the last {len(raw) - len(named)} belong to no {kind}",
            reason="raw_count",
        )
    if len(raw) < len(named):
        raise InvalidArgumentError(
            f"expected {len(named)} raw {kind} contents, one each for {names}, got {len(raw)}: "
            f"none for {named[len(raw)].name!r}",
            reason="raw_count",
        )
    for tensor in named:
        if tensor.contents.ListFields():
            raise InvalidArgumentError(
                f"{kind} {tensor.name!r} has typed contents beside raw {kind} contents; "
                "use one form for the whole request",
                reason="raw_and_contents",
            )


def _tensor(tensor: _Named, content: bytes) -> Tensor:
    datatype = datatype_named(tensor.name, tensor.datatype)
    return Tensor(tensor.name, datatype, tuple(tensor.shape), content)


def _tensor_from_contents(tensor: _Named) -> Tensor:
    datatype = datatype_named(tensor.name, tensor.datatype)
    return _tensor(tensor, raw_from_contents(tensor.name, datatype, tensor.contents))
