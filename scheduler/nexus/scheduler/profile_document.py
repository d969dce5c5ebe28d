"""The latencies of a profile as people write them, in scenarios and in resource documents alike.

Either ``latency_ms: [l(1), l(2), ...]`` or ``alpha_ms`` and ``beta_ms``, l(b) = alpha * b + beta.
"""

from collections.abc import Sequence

from nexus.core.errors import InvalidArgumentError
from nexus.core.model import BATCH_LIMIT
from nexus.core.profile import Profile, linear_profile
from nexus.core.units import BYTES_PER_MB, US_PER_MS, us_from_ms
from nexus.scheduler.located_yaml import YamlValue

DEFAULT_MAX_BATCH = 64
_LINEAR = ("alpha_ms", "beta_ms", "max_batch")
_LISTED = ("latency_ms",)
_TIMES = ("preprocess_ms", "postprocess_ms", "load_ms")


def read_latencies(
    value: YamlValue, model: str, device: str, other_keys: Sequence[str] = ()
) -> Profile:
    """The profile in a mapping; ``other_keys`` may stand beside it and are not looked at."""
    given = dict(value.entries())
    if ("latency_ms" in given) == ("alpha_ms" in given):
        raise value.error(
            "expected exactly one of latency_ms and alpha_ms (with beta_ms, max_batch)"
        )
    form = _LISTED if "latency_ms" in given else _LINEAR
    required = _LISTED if form is _LISTED else _LINEAR[:2]
    fields = value.fields((*other_keys, *form, "memory_mb", *_TIMES), required)
    listed = form is _LISTED
    rows = _listed(fields["latency_ms"]) if listed else _linear(value, fields, model, device)
    times = {key: us_from_ms(fields[key].number()) for key in _TIMES if key in fields}
    memory_mb = fields["memory_mb"].number() if "memory_mb" in fields else 0.0
    try:
        return Profile(
            model=model,
            device=device,
            latencies_us=rows,
            memory_bytes=round(memory_mb * BYTES_PER_MB),
            preprocess_us=times.get("preprocess_ms", 0),
            postprocess_us=times.get("postprocess_ms", 0),
            load_us=times.get("load_ms", 0),
        )
    except InvalidArgumentError as error:
        raise value.error(error.message, reason=error.reason) from error


def _listed(value: YamlValue) -> tuple[int, ...]:
    rows = value.items()
    if len(rows) > BATCH_LIMIT:
        raise value.error(f"{len(rows)} batch sizes are more than {BATCH_LIMIT}")
    return tuple(us_from_ms(row.number(low=0.001)) for row in rows)


def _linear(
    value: YamlValue, fields: dict[str, YamlValue], model: str, device: str
) -> tuple[int, ...]:
    alpha_ms, beta_ms = fields["alpha_ms"].number(), fields["beta_ms"].number()
    if us_from_ms(alpha_ms + beta_ms) <= 0:
        raise value.error("l(1) = alpha_ms + beta_ms must be at least 0.001 ms")
    max_batch = DEFAULT_MAX_BATCH
    if "max_batch" in fields:
        max_batch = fields["max_batch"].integer(low=1, high=BATCH_LIMIT)
    profile = linear_profile(model, device, alpha_ms * US_PER_MS, beta_ms * US_PER_MS, max_batch)
    return profile.latencies_us
