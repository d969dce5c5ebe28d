"""Reading ``Model.parameters``: strings to numbers, with errors that name the model and the key."""

from collections.abc import Mapping

from nexus.core.errors import InvalidArgumentError
from nexus.core.model import Model


def integer(model: Model, key: str, default: int, *, low: int, high: int, multiple: int = 1) -> int:
    """The parameter as an integer in ``low..high`` that is a multiple of ``multiple``.

    Raises:
        InvalidArgumentError: it is not; the message names the model, the key and what is allowed.
    """
    text = model.parameters.get(key, str(default))
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high or value % multiple:
        kind = "an integer" if multiple == 1 else f"a multiple of {multiple}"
        raise _malformed(model, key, text, f"{kind} in {low}..{high}")
    return value


def fraction(model: Model, key: str, default: float) -> float:
    """The parameter as a number in 0..1; raise InvalidArgumentError when it is not."""
    text = model.parameters.get(key, str(default))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise _malformed(model, key, text, "a number in 0..1")
    return value


def require_known(model: Model, known: Mapping[str, str]) -> None:
    """Raise InvalidArgumentError when a parameter has a name outside ``known``."""
    for key in model.parameters:
        if key not in known:
            raise InvalidArgumentError(
                f"model {model.name!r}: no parameter {key!r}; there are {', '.join(known)}",
                reason="invalid_model",
            )


def _malformed(model: Model, key: str, text: str, allowed: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"model {model.name!r}: parameter {key} is {text!r}, must be {allowed}",
        reason="invalid_model",
    )
