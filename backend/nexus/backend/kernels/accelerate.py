"""accelerate(module): every torch.nn.LSTM and GRU inside a model, served by GRNN."""

from dataclasses import dataclass

import torch

from nexus.backend.kernels import grnn
from nexus.core.errors import InvalidArgumentError

RECURRENT = (torch.nn.RNNBase, torch.nn.RNNCellBase)


@dataclass(frozen=True, slots=True)
class Swapped:
    """A layer that GRNN serves now. ``name`` is its path inside the model."""

    name: str
    layer: grnn.LSTM | grnn.GRU

    def __str__(self) -> str:
        """For logs."""
        runner = self.layer.runner
        return f"{self.name}: {self.layer} by {runner.name if runner else 'torch'}"


@dataclass(frozen=True, slots=True)
class Left:
    """A recurrent layer that stays as it was, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Acceleration:
    """What became of the recurrent layers of a model."""

    swapped: tuple[Swapped, ...]
    left: tuple[Left, ...]

    @property
    def weight_bytes(self) -> int:
        """What the packed weights occupy beside the model's own; a shared layer counts once."""
        runners = {id(one.layer): one.layer.runner for one in self.swapped}
        return sum(runner.weight_bytes for runner in runners.values() if runner)


def accelerate(
    module: torch.nn.Module, *, precision: str = "fp32", threads: int = 0
) -> Acceleration:
    """Swap every torch.nn.LSTM and GRU inside ``module`` in place, and pack their weights.

    The layers keep their Parameters, names and modes, so state dicts, optimisers and training go on
    working. What is reached by other ways than submodules (a layer in a plain list) is not seen.

    Args:
        module: Not itself a layer: that has nobody who holds it; see `grnn.LSTM.from_torch`.
        precision: See `grnn.LSTM`.
        threads: See `grnn.LSTM`.

    Raises:
        InvalidArgumentError: ``module`` is itself a recurrent layer, or the precision is unknown.
    """
    if isinstance(module, RECURRENT):
        raise InvalidArgumentError(
            f"a {type(module).__name__} cannot be swapped inside itself: use "
            "GRNN.LSTM.from_torch(layer) or GRNN.GRU.from_torch(layer)",
            reason="invalid_model",
        )
    swapped: list[Swapped] = []
    left: list[Left] = []
    served: dict[torch.nn.Module, grnn.LSTM | grnn.GRU] = {}
    # A layer may hang in several places of a model, and must be one layer in all of them again.
    for path, layer in list(module.named_modules(remove_duplicate=False)):
        if not isinstance(layer, RECURRENT):
            continue
        why = _why_not(layer)
        if why or isinstance(layer, torch.nn.RNNCellBase):
            left.append(Left(path, why))
            continue
        if layer not in served:
            served[layer] = _kind(layer).from_torch(layer, precision=precision, threads=threads)
        holder, _, name = path.rpartition(".")
        setattr(module.get_submodule(holder), name, served[layer])
        swapped.append(Swapped(path, served[layer]))
    return Acceleration(tuple(swapped), tuple(left))


def _kind(layer: torch.nn.Module) -> type[grnn.LSTM] | type[grnn.GRU]:
    return grnn.LSTM if type(layer) is torch.nn.LSTM else grnn.GRU


def _why_not(layer: torch.nn.RNNBase | torch.nn.RNNCellBase) -> str:
    """Why a recurrent layer is left as it is; empty where it need not be."""
    if isinstance(layer, grnn.LSTM | grnn.GRU):
        return "GRNN serves it already"
    if type(layer) not in {torch.nn.LSTM, torch.nn.GRU}:
        return f"a {type(layer).__name__} is not exactly a torch.nn.LSTM or GRU"
    if layer.proj_size:
        return "it has projections (proj_size)"
    if any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks)):  # noqa: SLF001 - torch has no public question
        return "hooks are registered on it"
    return ""
