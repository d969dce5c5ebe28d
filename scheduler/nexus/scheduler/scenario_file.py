"""Reading a scenario file: YAML in people's units to a Scenario, errors as ``file:line: key: why``.

Profiles may stand in the file or in files of their own. Their formats belong to the profiler, which
lies above this package, so the caller passes the function that reads one.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from nexus.core.device import DeviceSpec
from nexus.core.errors import DocumentError, InvalidArgumentError
from nexus.core.model import BATCH_LIMIT
from nexus.core.profile import Profile
from nexus.core.query import FAN_OUT_MAX, Query
from nexus.core.session import Session
from nexus.core.units import BYTES_PER_MB, US_PER_S, ms_from_us, us_from_ms, us_from_s
from nexus.scheduler.arrivals_document import read_arrivals
from nexus.scheduler.fault_document import read_faults
from nexus.scheduler.located_yaml import YamlValue, parse_yaml
from nexus.scheduler.prefix_groups import PrefixMember
from nexus.scheduler.profile_document import read_latencies
from nexus.scheduler.query_document import read_stages
from nexus.scheduler.scenario import (
    RETRANSMIT_US,
    DeviceBehaviour,
    FanOut,
    Network,
    NodeKind,
    Scenario,
    ScenarioModel,
    ScenarioQuery,
    ScenarioSession,
)
from nexus.scheduler.settings import EpochSettings

T = TypeVar("T")
ReadProfile = Callable[[Path, str, str], Profile]
"""(path, model, device type) -> Profile; raises NexusError when the file is not one."""

FRONTENDS_MAX = 1000
SCHEDULERS_MAX = 10
LOSS_MAX = 0.5
"""Of messages lost, or breaking their connection; more is no network."""

BYTES_PER_KB = 1_000
_FAN_OUT_KEYS = ("fan_out_kind", "fan_out_values")
_NETWORK_KEYS = ("delay_ms", "jitter_ms", "transfer_mbps", "loss", "reset", "retransmit_ms")
_TOP_KEYS = (
    "name",
    "seed",
    "duration_s",
    "devices",
    "network",
    "models",
    "sessions",
    "queries",
    "frontends",
    "schedulers",
    "scheduler",
    "policy",
    "faults",
)


def read_scenario(
    path: Path, read_profile: ReadProfile | None = None, *, counted: bool = False
) -> Scenario:
    """Read a file; raise DocumentError naming file, line and key.

    ``counted``: every device must have a count, as a simulation needs.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"{path}: cannot be read: {error}") from error
    return parse_scenario(text, str(path), path.parent, read_profile, counted=counted)


def parse_scenario(
    text: str,
    source: str = "scenario",
    folder: Path | None = None,
    read_profile: ReadProfile | None = None,
    *,
    counted: bool = False,
) -> Scenario:
    """Parse a scenario; profile files are looked for in ``folder`` and read by ``read_profile``."""
    documents = parse_yaml(text, source)
    if len(documents) != 1:
        raise DocumentError(f"{source}:1: expected one YAML document, got {len(documents)}")
    if counted:
        _require_counts(documents[0])
    return _Reader(folder, read_profile).scenario(documents[0])


def _require_counts(value: YamlValue) -> None:
    devices = dict(value.entries()).get("devices")
    for device in devices.items() if devices is not None else ():
        if "count" not in dict(device.entries()):
            raise device.error("key 'count' is missing: a simulation needs to know how many")


class _Reader:
    """Knows where profile files lie and how to read them; everything else is passed along."""

    def __init__(self, folder: Path | None, read_profile: ReadProfile | None) -> None:
        self._folder = folder
        self._read_profile = read_profile

    def scenario(self, value: YamlValue) -> Scenario:
        fields = value.fields(_TOP_KEYS, required=("name", "devices", "models"))
        devices = tuple(_device(item) for item in fields["devices"].items())
        _unique(fields["devices"], (device.type for device in devices))
        models = tuple(self._model(item) for item in fields["models"].items())
        _unique(fields["models"], (model.name for model in models))
        known = {model.name for model in models}
        folder = self._folder or Path()
        sessions = tuple(_session(item, known, folder) for item in _list(fields, "sessions"))
        queries = tuple(_query(item, known, folder) for item in _list(fields, "queries"))
        if sessions:
            _unique(fields["sessions"], (entry.session.name for entry in sessions))
        if queries:
            _unique(fields["queries"], (entry.query.name for entry in queries))
        epochs, headroom = _scheduler(fields.get("scheduler"))
        frontends = _count(fields, "frontends", FRONTENDS_MAX)
        schedulers = _count(fields, "schedulers", SCHEDULERS_MAX)
        counts = {
            NodeKind.BACKEND: sum(device.count or 0 for device in devices),
            NodeKind.FRONTEND: frontends,
            NodeKind.SCHEDULER: schedulers,
            NodeKind.STORE: 1,
        }
        return Scenario(
            name=fields["name"].text(),
            devices=devices,
            models=models,
            sessions=sessions,
            queries=queries,
            seed=fields["seed"].integer() if "seed" in fields else 0,
            duration_us=_us_from_s(fields, "duration_s", 60.0),
            network=_network(fields.get("network")),
            behaviours=_behaviours(fields["devices"].items()),
            frontends=frontends,
            schedulers=schedulers,
            epochs=epochs,
            headroom=headroom,
            policy=fields["policy"].text() if "policy" in fields else "default",
            faults=read_faults(fields["faults"], counts) if "faults" in fields else (),
        )

    def _model(self, value: YamlValue) -> ScenarioModel:
        keys = ("name", "profiles", "max_batch", "prefix")
        fields = value.fields(keys, required=("name", "profiles"))
        name = fields["name"].text()
        profiles = {
            device: self._profile(entry, name, device)
            for device, entry in fields["profiles"].entries()
        }
        largest = max((profile.max_batch for profile in profiles.values()), default=1)
        cap = fields["max_batch"].integer(low=1, high=BATCH_LIMIT) if "max_batch" in fields else 0
        return ScenarioModel(
            name=name,
            profiles=profiles,
            max_batch=cap or min(largest, BATCH_LIMIT),
            prefix=_prefix(fields["prefix"]) if "prefix" in fields else None,
        )

    def _profile(self, value: YamlValue, model: str, device: str) -> Profile:
        if "file" in dict(value.entries()):
            return self._profile_file(value, model, device)
        return read_latencies(value, model, device)

    def _profile_file(self, value: YamlValue, model: str, device: str) -> Profile:
        file = value.fields(("file",))["file"]
        if self._read_profile is None:
            raise file.error("profile files cannot be read here; give the latencies in the file")
        path = (self._folder or Path()) / file.text()
        try:
            return self._read_profile(path, model, device)
        except DocumentError as error:
            raise file.error(error.message) from error
        except OSError as error:
            raise file.error(f"cannot be read: {error}") from error


def _device(value: YamlValue) -> DeviceSpec:
    keys = ("type", "count", "memory_mb", "price", "jitter", "load_ms")
    fields = value.fields(keys, required=("type",))
    memory_mb = fields["memory_mb"].number() if "memory_mb" in fields else 0.0
    return DeviceSpec(
        type=fields["type"].text(),
        count=fields["count"].integer() if "count" in fields else None,
        memory_bytes=round(memory_mb * BYTES_PER_MB),
        price=fields["price"].number(above=True) if "price" in fields else 1.0,
    )


def _behaviours(values: Iterable[YamlValue]) -> dict[str, DeviceBehaviour]:
    """How devices differ from their profiles, where the file says so."""
    behaviours = {}
    for value in values:
        fields = dict(value.entries())
        if "jitter" in fields or "load_ms" in fields:
            default = DeviceBehaviour()
            behaviours[fields["type"].text()] = DeviceBehaviour(
                jitter=fields["jitter"].number(high=1.0) if "jitter" in fields else default.jitter,
                load_us=us_from_ms(fields["load_ms"].number())
                if "load_ms" in fields
                else default.load_us,
            )
    return behaviours


def _prefix(value: YamlValue) -> PrefixMember:
    keys = ("group", "suffix_ms", "suffix_memory_mb")
    fields = value.fields(keys, required=("group",))
    suffix_mb = fields["suffix_memory_mb"].number() if "suffix_memory_mb" in fields else 0.0
    return PrefixMember(
        group=fields["group"].text(),
        suffix_us=us_from_ms(fields["suffix_ms"].number()) if "suffix_ms" in fields else 0,
        suffix_bytes=round(suffix_mb * BYTES_PER_MB),
    )


def _session(value: YamlValue, models: set[str], folder: Path) -> ScenarioSession:
    keys = (
        "name",
        "model",
        "slo_ms",
        "rate",
        "arrivals",
        "payload_kb",
        "replicas_min",
        "replicas_max",
        "variants",
    )
    fields = value.fields(keys, required=("model", "slo_ms", "rate"))
    model = _known_model(fields["model"], models)
    rate = fields["rate"].number()
    variants = fields["variants"].items() if "variants" in fields else ()
    session = _checked(
        fields["slo_ms"],
        lambda: Session(
            model=model,
            slo_us=us_from_ms(fields["slo_ms"].number(above=True)),
            expected_rate=rate,
            name=fields["name"].text() if "name" in fields else "",
            replicas_min=fields["replicas_min"].integer() if "replicas_min" in fields else 1,
            replicas_max=fields["replicas_max"].integer() if "replicas_max" in fields else 0,
            variants=tuple(_known_model(variant, models) for variant in variants),
        ),
    )
    return ScenarioSession(
        session=session,
        rate=rate,
        arrivals=read_arrivals(fields.get("arrivals"), folder),
        payload_bytes=_payload_bytes(fields),
    )


def _query(value: YamlValue, models: set[str], folder: Path) -> ScenarioQuery:
    keys = ("name", "slo_ms", "rate", "stages", "arrivals", "payload_kb")
    fields = value.fields(keys, required=("name", "slo_ms", "rate", "stages"))
    rate = fields["rate"].number()
    stages = read_stages(fields["stages"], _FAN_OUT_KEYS)
    for item in fields["stages"].items():
        _known_model(dict(item.entries())["model"], models)
    query = _checked(
        value,
        lambda: Query(
            name=fields["name"].text(),
            slo_us=us_from_ms(fields["slo_ms"].number(above=True)),
            stages=stages,
            expected_rate=rate,
        ),
    )
    return ScenarioQuery(
        query=query,
        rate=rate,
        arrivals=read_arrivals(fields.get("arrivals"), folder),
        payload_bytes=_payload_bytes(fields),
        fan_outs=_fan_outs(fields["stages"].items()),
    )


def _fan_outs(stages: Iterable[YamlValue]) -> dict[str, FanOut]:
    """How the findings for each stage vary, where the file says so."""
    fan_outs = {}
    for stage in stages:
        fields = dict(stage.entries())
        if "fan_out_values" in fields:
            values = tuple(
                item.integer(high=FAN_OUT_MAX) for item in fields["fan_out_values"].items()
            )
            if not values or "fan_out_kind" in fields:
                message = "give at least one value, and no fan_out_kind beside them"
                raise fields["fan_out_values"].error(message)
            fan_outs[fields["name"].text()] = FanOut(kind="listed", values=values)
        elif "fan_out_kind" in fields:
            kind = fields["fan_out_kind"].choice(("poisson", "fixed"))
            fan_outs[fields["name"].text()] = FanOut(kind=kind)
    return fan_outs


def _payload_bytes(fields: dict[str, YamlValue]) -> int:
    return round(fields["payload_kb"].number() * BYTES_PER_KB) if "payload_kb" in fields else 0


def _network(value: YamlValue | None) -> Network:
    if value is None:
        return Network()
    fields = value.fields(_NETWORK_KEYS)

    def number(key: str, high: float = math.inf, default: float = 0.0) -> float:
        return fields[key].number(high=high) if key in fields else default

    return Network(
        delay_us=us_from_ms(number("delay_ms")),
        jitter_us=us_from_ms(number("jitter_ms")),
        transfer_mbps=number("transfer_mbps"),
        loss=number("loss", high=LOSS_MAX),
        reset=number("reset", high=LOSS_MAX),
        retransmit_us=us_from_ms(number("retransmit_ms", default=ms_from_us(RETRANSMIT_US))),
    )


def _scheduler(value: YamlValue | None) -> tuple[EpochSettings, float | None]:
    if value is None:
        return EpochSettings(), None
    fields = value.fields(("epoch_s", "min_epoch_s", "first_epoch_s", "headroom"))
    default = EpochSettings()
    epochs = EpochSettings(
        epoch_us=_us_from_s(fields, "epoch_s", default.epoch_us / US_PER_S),
        epoch_min_us=_us_from_s(fields, "min_epoch_s", default.epoch_min_us / US_PER_S),
        first_epoch_us=us_from_s(fields["first_epoch_s"].number())
        if "first_epoch_s" in fields
        else default.first_epoch_us,
    )
    headroom = fields["headroom"].number(above=True, high=1.0) if "headroom" in fields else None
    return epochs, headroom


def _known_model(value: YamlValue, models: set[str]) -> str:
    name = value.text()
    if name not in models:
        known = ", ".join(sorted(models))
        raise value.error(f"no model {name!r}; the models are {known}", reason="unknown_model")
    return name


def _unique(value: YamlValue, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for item, name in zip(value.items(), names, strict=True):
        if name in seen:
            raise item.error(f"{name!r} is declared twice")
        seen.add(name)


def _list(fields: dict[str, YamlValue], key: str) -> list[YamlValue]:
    return fields[key].items() if key in fields else []


def _count(fields: dict[str, YamlValue], key: str, high: int) -> int:
    return fields[key].integer(low=1, high=high) if key in fields else 1


def _us_from_s(fields: dict[str, YamlValue], key: str, default_s: float) -> int:
    return us_from_s(fields[key].number(above=True) if key in fields else default_s)


def _checked(value: YamlValue, make: Callable[[], T]) -> T:
    """Build a core object; what it refuses becomes an error of this value."""
    try:
        return make()
    except DocumentError:
        raise
    except InvalidArgumentError as error:
        raise value.error(error.message, reason=error.reason) from error
