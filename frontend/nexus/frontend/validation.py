"""What the edge checks before a request is accepted: against the model's declaration, by size only.

The frontend never looks at the numbers in a tensor; datatypes, shapes and byte counts suffice to
keep malformed requests away from batches that they would share with others'.
"""

from collections.abc import Iterable, Sequence

from nexus.core.errors import InvalidArgumentError
from nexus.core.model import Model
from nexus.core.tensor import Tensor, TensorSpec
from nexus.frontend.limits import REQUEST_ITEMS_MAX

_IMAGE_MAGICS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


def require_inputs(model: Model, tensors: Sequence[Tensor]) -> int:
    """Check a request's inputs and return how many items (rows) it has.

    A model that declares no inputs takes any.

    Raises:
        InvalidArgumentError: an input is missing, unknown, of another datatype or shape; the inputs
            have different numbers of rows, none, or more than REQUEST_ITEMS_MAX.
    """
    if not tensors:
        raise InvalidArgumentError(
            f"model {model.name!r}: the request has no inputs; expected {_names(model.inputs)}",
            reason="missing_input",
        )
    if model.inputs:
        _require_declared(model, tensors)
    rows = tensors[0].shape[0] if tensors[0].shape else 0
    for tensor in tensors:
        got = tensor.shape[0] if tensor.shape else 0
        if got != rows or not 1 <= got <= REQUEST_ITEMS_MAX:
            raise InvalidArgumentError(
                f"input {tensor.name!r} of model {model.name!r}: batch dimension {got}, expected "
                f"1..{REQUEST_ITEMS_MAX} and the same in every input "
                f"({tensors[0].name!r} has {rows})",
                reason="invalid_batch",
            )
    return rows


def require_outputs(model: Model, requested: Iterable[str]) -> None:
    """Check that the outputs a request asks for are declared; raise InvalidArgumentError if not."""
    known = {spec.name for spec in model.outputs}
    for name in requested:
        if known and name not in known:
            raise InvalidArgumentError(
                f"unexpected inference output {name!r} for model {model.name!r}; expected "
                f"{_names(model.outputs)}",
                reason="unknown_output",
            )


def require_image(owner: str, frame: bytes) -> None:
    """Check the first bytes of a frame; decoding it is the backend's work.

    Raises:
        InvalidArgumentError: it is empty, or neither a JPEG nor a PNG file.
    """
    if not frame.startswith(_IMAGE_MAGICS):
        found = f"begins with {frame[:8].hex(' ')}" if frame else "is empty"
        raise InvalidArgumentError(
            f"{owner}: the frame ({len(frame)} bytes) {found}; expected a JPEG or PNG file",
            reason="invalid_frame",
        )


def _require_declared(model: Model, tensors: Sequence[Tensor]) -> None:
    given = {tensor.name: tensor for tensor in tensors}
    for spec in model.inputs:
        tensor = given.pop(spec.name, None)
        if tensor is None:
            raise InvalidArgumentError(
                f"model {model.name!r}: input {spec.name!r} is missing; expected "
                f"{_names(model.inputs)}, got {', '.join(repr(t.name) for t in tensors)}",
                reason="missing_input",
            )
        if tensor.datatype is not spec.datatype:
            raise InvalidArgumentError(
                f"input {spec.name!r} of model {model.name!r}: expected datatype "
                f"{spec.datatype.value}, got {tensor.datatype.value}",
                reason="invalid_datatype",
            )
        if not spec.accepts(tensor.shape):
            raise InvalidArgumentError(
                f"input {spec.name!r} of model {model.name!r}: expected shape {list(spec.shape)}, "
                f"got {list(tensor.shape)}",
                reason="invalid_shape",
            )
    if given:
        raise InvalidArgumentError(
            f"unexpected inference input {next(iter(given))!r} for model {model.name!r}; expected "
            f"{_names(model.inputs)}",
            reason="unknown_input",
        )


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(repr(spec.name) for spec in specs) or "none"
