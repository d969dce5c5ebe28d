"""The stages of a query as people write them, in scenarios and in resource documents alike."""

from collections.abc import Sequence

from nexus.core.errors import DocumentError, InvalidArgumentError
from nexus.core.query import FAN_OUT_MAX, Per, Stage
from nexus.scheduler.located_yaml import YamlValue

_KEYS = ("name", "model", "after", "per", "each", "min_score", "fan_out", "fan_out_max")


def read_stages(value: YamlValue, other_keys: Sequence[str] = ()) -> tuple[Stage, ...]:
    """The stages of a query's list; ``other_keys`` may stand in one and are not looked at.

    Raises:
        DocumentError: one is malformed; names the line and the key.
    """
    return tuple(_stage(item, other_keys) for item in value.items())


def _stage(value: YamlValue, other_keys: Sequence[str]) -> Stage:
    fields = value.fields((*_KEYS, *other_keys), required=("name", "model"))
    per = fields["per"].choice([member.value for member in Per]) if "per" in fields else None
    try:
        return Stage(
            name=fields["name"].text(),
            model=fields["model"].text(),
            after=fields["after"].texts() if "after" in fields else (),
            per=Per(per) if per else None,
            each=fields["each"].texts() if "each" in fields else (),
            min_score=fields["min_score"].number() if "min_score" in fields else 0.0,
            fan_out=fields["fan_out"].number() if "fan_out" in fields else 1.0,
            fan_out_max=fields["fan_out_max"].integer(low=1, high=FAN_OUT_MAX)
            if "fan_out_max" in fields
            else 16,
        )
    except DocumentError:
        raise
    except InvalidArgumentError as error:
        raise value.error(error.message, reason=error.reason) from error
