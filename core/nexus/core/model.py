"""A Model: what is served, by which engine, with which inputs and outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import ModelName, require_name
from nexus.core.tensor import TensorSpec

BATCH_LIMIT = 1024


class EngineKind(Enum):
    """Which executor runs the model."""

    TORCH = "torch"
    ONNX = "onnx"
    EMULATED = "emulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One served model.

    ``handler`` names the zoo's pre- and post-processing; ``tensors`` (the default) feeds the
    declared inputs to the network unchanged, stacked along their first dimension. ``network`` names
    the zoo's builder for a torch model. ``weights`` is a path, or ``package:DISTRIBUTION/PATH`` for
    a file inside an installed distribution (the file is read, the package is never imported).
    ``max_batch`` is a cap, not a choice: the plan chooses.
    """

    name: ModelName
    engine: EngineKind
    version: str = "1"
    handler: str = "tensors"
    network: str = ""
    weights: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    max_batch: int = 64
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError when a field is out of its range."""
        require_name("model", self.name)
        if not 1 <= self.max_batch <= BATCH_LIMIT:
            raise InvalidArgumentError(
                f"model {self.name!r}: max_batch {self.max_batch} is not in 1..{BATCH_LIMIT}",
                reason="invalid_model",
            )
        if self.engine is EngineKind.TORCH and not self.network:
            raise InvalidArgumentError(
                f"model {self.name!r}: engine torch needs 'network', a name the zoo knows",
                reason="invalid_model",
            )
        for kind, specs in (("input", self.inputs), ("output", self.outputs)):
            names = [spec.name for spec in specs]
            if len(set(names)) != len(names):
                raise InvalidArgumentError(
                    f"model {self.name!r}: two {kind}s have the same name", reason="invalid_model"
                )
