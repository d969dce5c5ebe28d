"""The default handler: declared inputs go to the network unchanged, outputs come back by name."""

from nexus.core.errors import InternalError, InvalidArgumentError
from nexus.core.finding import Region
from nexus.core.model import Model
from nexus.core.request import ItemResult
from nexus.core.tensor import Tensor, TensorSpec
from nexus.zoo.arrays import array_from, tensor_from
from nexus.zoo.handler import Array, Sample, stack


class TensorHandler:
    """Rows of the declared inputs, stacked into batches; rows of the outputs, split again.

    Items that share a batch must have the same shape beyond dimension 0; a model whose inputs vary
    in size belongs behind a handler that pads them.
    """

    def __init__(self, model: Model) -> None:
        """Serve ``model`` by its declared inputs and outputs."""
        self._model = model

    def preprocess(
        self, tensors: tuple[Tensor, ...], regions: tuple[Region, ...]
    ) -> tuple[Sample, ...]:
        """One sample for each row along dimension 0, which all inputs must agree on.

        Raises:
            InvalidArgumentError: an input is missing, unknown, of another datatype or shape than
                declared, or has no rows; or crops of a frame are asked for.
        """
        if regions:
            raise InvalidArgumentError(
                f"model {self._model.name!r} takes tensors, not crops of a frame: it cannot be a "
                "stage that runs for each finding",
                reason="invalid_input",
            )
        arrays = tuple(array_from(tensor) for tensor in self._in_declared_order(tensors))
        return tuple(
            Sample(tuple(array[row] for array in arrays)) for row in range(self._rows(arrays))
        )

    def collate(self, samples: tuple[Sample, ...]) -> tuple[Array, ...]:
        """Every input stacked; raise InvalidArgumentError when shapes differ within the batch."""
        try:
            return stack(samples)
        except ValueError as error:
            raise InvalidArgumentError(
                f"model {self._model.name!r}: items of different shapes cannot share a batch: "
                f"{error}",
                reason="invalid_shape",
            ) from error

    def postprocess(
        self, outputs: tuple[Array, ...], samples: tuple[Sample, ...]
    ) -> tuple[tuple[ItemResult, ...], tuple[Tensor, ...]]:
        """The declared outputs, as they are; no findings.

        Raises:
            InternalError: the network gave another number of outputs, or of rows, than it should.
        """
        declared = self._model.outputs
        if len(outputs) != len(declared):
            raise InternalError(
                f"model {self._model.name!r} declares {len(declared)} outputs, its network gave "
                f"{len(outputs)}"
            )
        return (), tuple(
            self._output(spec, array, len(samples))
            for spec, array in zip(declared, outputs, strict=True)
        )

    def _in_declared_order(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        given = {tensor.name: tensor for tensor in tensors}
        declared = {spec.name: spec for spec in self._model.inputs}
        if given.keys() != declared.keys() or len(given) != len(tensors):
            raise InvalidArgumentError(
                f"model {self._model.name!r} takes the inputs {sorted(declared)}, "
                f"got {sorted(tensor.name for tensor in tensors)}",
                reason="invalid_input",
            )
        for name, spec in declared.items():
            self._require_fit(spec, given[name])
        return tuple(given[name] for name in declared)

    def _require_fit(self, spec: TensorSpec, tensor: Tensor) -> None:
        if tensor.datatype is not spec.datatype or not spec.accepts(tensor.shape):
            raise InvalidArgumentError(
                f"model {self._model.name!r}: input {spec.name!r} is {spec.datatype.value} "
                f"{list(spec.shape)}, got {tensor.datatype.value} {list(tensor.shape)}",
                reason="invalid_shape",
            )

    def _rows(self, arrays: tuple[Array, ...]) -> int:
        rows = {array.shape[0] if array.ndim else 0 for array in arrays}
        if len(rows) != 1 or 0 in rows:
            raise InvalidArgumentError(
                f"model {self._model.name!r}: all inputs need the same number (>= 1) of rows in "
                f"dimension 0, got {[array.shape for array in arrays]}",
                reason="invalid_shape",
            )
        return rows.pop()

    def _output(self, spec: TensorSpec, array: Array, rows: int) -> Tensor:
        if not array.ndim or array.shape[0] != rows:
            raise InternalError(
                f"model {self._model.name!r}: output {spec.name!r} has shape {list(array.shape)} "
                f"for {rows} items"
            )
        return tensor_from(spec.name, spec.datatype, array)
