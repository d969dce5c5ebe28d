"""Resource documents: what ``nexus apply`` declares, several in one YAML file.

Each has a ``kind`` (Model, Session, Query or Profile) and the fields of that core dataclass, times
in ``_ms`` and rates in items/s. Errors name file, line and key.
"""

from collections.abc import Callable, Mapping

from nexus.core.errors import DocumentError, InvalidArgumentError
from nexus.core.model import BATCH_LIMIT, EngineKind, Model
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.core.session import Session
from nexus.core.tensor import DataType, TensorSpec
from nexus.core.units import us_from_ms
from nexus.rpc.convert_control import Declared
from nexus.scheduler.located_yaml import YamlValue, parse_yaml
from nexus.scheduler.profile_document import read_latencies
from nexus.scheduler.query_document import read_stages

MODEL_MAX_BATCH = 64
_EVEN = "even"
_ARRIVALS = ("random", _EVEN)
_MODEL_TEXTS = ("version", "handler", "network", "weights")
_MODEL_KEYS = (
    "kind",
    "name",
    "engine",
    *_MODEL_TEXTS,
    "inputs",
    "outputs",
    "max_batch",
    "parameters",
)


def parse_resources(text: str, source: str = "resources") -> tuple[Declared, ...]:
    """All resources of a YAML stream; raise DocumentError, ``file:line: key: why``."""
    return tuple(_resource(document) for document in parse_yaml(text, source))


def _resource(value: YamlValue) -> Declared:
    entries = dict(value.entries())
    if "kind" not in entries:
        raise value.error(f"key 'kind' is missing: one of {', '.join(_READERS)}")
    kind = entries["kind"].choice(tuple(_READERS))
    try:
        return _READERS[kind](value)
    except DocumentError:
        raise
    except InvalidArgumentError as error:
        raise value.error(error.message, reason=error.reason) from error


def _model(value: YamlValue) -> Model:
    fields = value.fields(_MODEL_KEYS, required=("name", "engine"))
    texts = {key: fields[key].scalar_text() for key in _MODEL_TEXTS if key in fields}
    parameters = fields["parameters"].entries() if "parameters" in fields else ()
    return Model(
        name=fields["name"].text(),
        engine=EngineKind(fields["engine"].choice([kind.value for kind in EngineKind])),
        version=texts.get("version", "1"),
        handler=texts.get("handler", "tensors"),
        network=texts.get("network", ""),
        weights=texts.get("weights", ""),
        inputs=_tensor_specs(fields.get("inputs")),
        outputs=_tensor_specs(fields.get("outputs")),
        max_batch=fields["max_batch"].integer(low=1, high=BATCH_LIMIT)
        if "max_batch" in fields
        else MODEL_MAX_BATCH,
        parameters={key: item.scalar_text() for key, item in parameters},
    )


def _tensor_specs(value: YamlValue | None) -> tuple[TensorSpec, ...]:
    return tuple(_tensor_spec(item) for item in value.items()) if value is not None else ()


def _tensor_spec(value: YamlValue) -> TensorSpec:
    keys = ("name", "datatype", "shape")
    fields = value.fields(keys, required=keys)
    return TensorSpec(
        name=fields["name"].text(),
        datatype=DataType(fields["datatype"].choice([kind.value for kind in DataType])),
        shape=tuple(item.integer(low=-1) for item in fields["shape"].items()),
    )


def _session(value: YamlValue) -> Session:
    keys = (
        "kind",
        "name",
        "model",
        "slo_ms",
        "rate",
        "arrivals",
        "replicas_min",
        "replicas_max",
        "variants",
    )
    fields = value.fields(keys, required=("model", "slo_ms"))
    return Session(
        model=fields["model"].text(),
        slo_us=us_from_ms(fields["slo_ms"].number(above=True)),
        expected_rate=fields["rate"].number() if "rate" in fields else 0.0,
        arrives_evenly=_arrives_evenly(fields),
        name=fields["name"].text() if "name" in fields else "",
        replicas_min=fields["replicas_min"].integer() if "replicas_min" in fields else 1,
        replicas_max=fields["replicas_max"].integer() if "replicas_max" in fields else 0,
        variants=tuple(item.text() for item in fields["variants"].items())
        if "variants" in fields
        else (),
    )


def _query(value: YamlValue) -> Query:
    keys = ("kind", "name", "slo_ms", "rate", "arrivals", "stages")
    fields = value.fields(keys, required=("name", "slo_ms", "stages"))
    return Query(
        name=fields["name"].text(),
        slo_us=us_from_ms(fields["slo_ms"].number(above=True)),
        stages=read_stages(fields["stages"]),
        expected_rate=fields["rate"].number() if "rate" in fields else 0.0,
        arrives_evenly=_arrives_evenly(fields),
    )


def _arrives_evenly(fields: Mapping[str, YamlValue]) -> bool:
    return "arrivals" in fields and fields["arrivals"].choice(_ARRIVALS) == _EVEN


def _profile(value: YamlValue) -> Profile:
    entries = dict(value.entries())
    for key in ("model", "device"):
        if key not in entries:
            raise value.error(f"key {key!r} is missing")
    own = ("kind", "model", "device")
    return read_latencies(value, entries["model"].text(), entries["device"].text(), own)


_READERS: dict[str, Callable[[YamlValue], Declared]] = {
    "Model": _model,
    "Session": _session,
    "Query": _query,
    "Profile": _profile,
}
