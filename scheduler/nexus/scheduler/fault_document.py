"""The faults of a scenario as people write them.

``{at_s: 20, kind: kill, what: backend, index: 1, for_s: 5}``: ``index`` a number, a list of numbers
or ``all``; ``from``, of a partition, a list of ``KIND`` or ``KIND:NUMBER``.
"""

from collections.abc import Mapping

from nexus.core.units import us_from_s
from nexus.scheduler.located_yaml import YamlValue
from nexus.scheduler.scenario import Fault, FaultKind, NodeKind, NodeReference

FAULTS_MAX = 1_000
_KEYS = ("at_s", "kind", "what", "index", "for_s", "from")
_KINDS = tuple(kind.value for kind in FaultKind)
_NODES = tuple(kind.value for kind in NodeKind)


def read_faults(value: YamlValue, counts: Mapping[NodeKind, int]) -> tuple[Fault, ...]:
    """A list of faults; ``counts`` says how many processes of each kind there are.

    Raises:
        DocumentError: one is malformed, or happens to a process that there is not.
    """
    items = value.items()
    if len(items) > FAULTS_MAX:
        raise value.error(f"{len(items)} faults are more than {FAULTS_MAX}")
    return tuple(_fault(item, counts) for item in items)


def _fault(value: YamlValue, counts: Mapping[NodeKind, int]) -> Fault:
    fields = value.fields(_KEYS, required=("at_s", "kind", "what"))
    kind = FaultKind(fields["kind"].choice(_KINDS))
    if kind is FaultKind.STALL and "for_s" not in fields:
        raise value.error("a stall needs 'for_s': what never goes on is killed")
    if kind is not FaultKind.PARTITION and "from" in fields:
        raise fields["from"].error("only a partition is from others")
    node = NodeKind(fields["what"].choice(_NODES))
    return Fault(
        at_us=us_from_s(fields["at_s"].number()),
        kind=kind,
        nodes=_nodes(fields.get("index"), node, counts),
        for_us=us_from_s(fields["for_s"].number(above=True)) if "for_s" in fields else None,
        apart_from=_references(fields["from"], counts) if "from" in fields else (),
    )


def _nodes(
    value: YamlValue | None, kind: NodeKind, counts: Mapping[NodeKind, int]
) -> tuple[NodeReference, ...]:
    if value is None:
        return (NodeReference(kind, 0),)
    if value.is_list:
        return tuple(_numbered(item, kind, counts) for item in value.items())
    if value.text() == "all":
        return (NodeReference(kind),)
    return (_numbered(value, kind, counts),)


def _numbered(value: YamlValue, kind: NodeKind, counts: Mapping[NodeKind, int]) -> NodeReference:
    index, count = value.integer(), counts[kind]
    if index >= count:
        raise value.error(f"there is no {kind.value} number {index}: they are 0..{count - 1}")
    return NodeReference(kind, index)


def _references(value: YamlValue, counts: Mapping[NodeKind, int]) -> tuple[NodeReference, ...]:
    items = value.items() if value.is_list else [value]
    return tuple(_reference(item, counts) for item in items)


def _reference(value: YamlValue, counts: Mapping[NodeKind, int]) -> NodeReference:
    word, colon, number = value.text().partition(":")
    if word not in _NODES or (colon and not number.isdigit()):
        raise value.error(
            f"{value.text()!r} is not KIND or KIND:NUMBER; kinds: {', '.join(_NODES)}"
        )
    kind = NodeKind(word)
    if not colon:
        return NodeReference(kind)
    if int(number) >= counts[kind]:
        raise value.error(f"there is no {word} number {number}: they are 0..{counts[kind] - 1}")
    return NodeReference(kind, int(number))
