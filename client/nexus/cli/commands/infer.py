"""``nexus infer``: one request to a model."""

import argparse
from typing import Any

from nexus.cli.discovery import add_cluster_arguments, cluster_choice
from nexus.cli.input_words import tensors_from_words
from nexus.cli.output import milliseconds, print_json
from nexus.client import Client, InferResult
from nexus.client.outputs import list_from
from nexus.core.tensor import DataType, Tensor

EXAMPLE = """\
  nexus infer resnet50 --input image=@cat.jpg --slo-ms 100
  nexus infer mlp --input 'x=[[0.1, 0.2, 0.3]]' --json
  nexus infer mlp --zeros"""
SHOWN_VALUES = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("model", help="the model's name")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="JSON, @FILE (its bytes), `zeros` or text; once for each input",
    )
    parser.add_argument("--zeros", action="store_true", help="zeros for inputs that are not given")
    parser.add_argument("--slo-ms", type=float, help="picks the session with this SLO")
    parser.add_argument("--session", help="picks the session by name")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="the deadline")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_cluster_arguments(parser, frontend=True)


def run(arguments: argparse.Namespace) -> int:
    """Ask the model what it takes, send one request, print what it gave."""
    with Client(cluster_choice(arguments).frontends()) as client:
        declared = client.metadata(arguments.model, timeout_s=arguments.timeout).inputs
        result = client.infer(
            arguments.model,
            tensors_from_words(arguments.input, declared, fill=arguments.zeros),
            slo_ms=arguments.slo_ms,
            session=arguments.session,
            timeout_s=arguments.timeout,
        )
    if arguments.json:
        print_json(as_data(result))
        return 0
    for tensor in result.tensors:
        print(_line(tensor))
    print(
        f"{result.session or result.model} answered in {milliseconds(result.round_trip_us)}: "
        f"queued {milliseconds(result.queue_us)}, executed {milliseconds(result.execute_us)} "
        f"in a batch of {result.batch}"
    )
    return 0


def as_data(result: InferResult) -> dict[str, Any]:
    """The result as plain data for JSON; BYTES become text where they are, else hexadecimal."""
    return {
        "model": result.model,
        "version": result.version,
        "outputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype.value,
                "shape": list(tensor.shape),
                "data": _values(tensor),
            }
            for tensor in result.tensors
        ],
        "parameters": dict(result.parameters),
        "round_trip_ms": result.round_trip_us / 1000,
    }


def _values(tensor: Tensor) -> list[Any]:
    if tensor.datatype is DataType.BF16:
        return [tensor.content.hex()]
    return [_printable(value) for value in list_from(tensor)]


def _printable(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _line(tensor: Tensor) -> str:
    values = _values(tensor)
    shown = ", ".join(str(value) for value in values[:SHOWN_VALUES])
    more = f", … {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else ""
    shape = "x".join(str(size) for size in tensor.shape)
    return f"{tensor.name}  {tensor.datatype.value} {shape}  [{shown}{more}]"
