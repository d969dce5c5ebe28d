"""The parts that several protocols share: regions, findings, tensor headers, outcomes' status."""

from collections.abc import Iterable

from nexus.core.errors import InvalidArgumentError
from nexus.core.finding import Finding, Region
from nexus.core.request import DropReason, ItemResult, Outcome
from nexus.core.tensor import DataType, Tensor
from nexus.v1 import results_pb2


def region_to_pb(region: Region) -> results_pb2.Region:
    """A rectangle as a message."""
    return results_pb2.Region(x=region.x, y=region.y, width=region.width, height=region.height)


def region_from_pb(message: results_pb2.Region) -> Region:
    """A message as a rectangle; raise InvalidArgumentError when it is empty."""
    return Region(message.x, message.y, message.width, message.height)


def items_to_pb(items: Iterable[ItemResult]) -> list[results_pb2.ItemResult]:
    """What each item gave, as messages."""
    return [
        results_pb2.ItemResult(findings=[_finding_to_pb(finding) for finding in item.findings])
        for item in items
    ]


def items_from_pb(messages: Iterable[results_pb2.ItemResult]) -> tuple[ItemResult, ...]:
    """Messages as what each item gave; raise InvalidArgumentError on an empty region."""
    return tuple(
        ItemResult(tuple(_finding_from_pb(finding) for finding in message.findings))
        for message in messages
    )


def _finding_to_pb(finding: Finding) -> results_pb2.Finding:
    region = None if finding.region is None else region_to_pb(finding.region)
    return results_pb2.Finding(label=finding.label, score=finding.score, region=region)


def _finding_from_pb(message: results_pb2.Finding) -> Finding:
    region = region_from_pb(message.region) if message.HasField("region") else None
    return Finding(message.label, message.score, region)


def tensor_header(tensor: Tensor) -> results_pb2.TensorHeader:
    """Everything about a tensor but its content."""
    return results_pb2.TensorHeader(
        name=tensor.name,
        datatype=tensor.datatype.value,
        shape=tensor.shape,
        content_bytes=len(tensor.content),
    )


def tensor_from_header(header: results_pb2.TensorHeader, content: bytes) -> Tensor:
    """A header and its content as a tensor; raise InvalidArgumentError when they disagree."""
    datatype = datatype_named(header.name, header.datatype)
    return Tensor(header.name, datatype, tuple(header.shape), content)


def datatype_named(tensor: str, datatype: str) -> DataType:
    """The datatype of that protocol name; raise InvalidArgumentError naming the tensor."""
    found = _DATATYPES.get(datatype)
    if found is None:
        raise InvalidArgumentError(
            f"tensor {tensor!r}: datatype {datatype!r} is not one of {', '.join(_DATATYPES)}",
            reason="invalid_datatype",
        )
    return found


_DATATYPES = {datatype.value: datatype for datatype in DataType}


def status_to_pb(outcome: Outcome) -> results_pb2.Status:
    """How an outcome ended, without its results."""
    return results_pb2.Status(
        reason=outcome.reason.value if outcome.reason else "",
        message=outcome.message,
        expected_wait_us=outcome.expected_wait_us,
        retry_after_us=outcome.retry_after_us,
    )


def reason_named(reason: str) -> DropReason | None:
    """The drop reason of that word, None for success; raise InvalidArgumentError when unknown."""
    if not reason:
        return None
    found = _REASONS.get(reason)
    if found is None:
        raise InvalidArgumentError(
            f"drop reason {reason!r} is not one of {', '.join(_REASONS)}", reason="unknown_reason"
        )
    return found


_REASONS = {reason.value: reason for reason in DropReason}
