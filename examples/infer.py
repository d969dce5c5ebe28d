"""Send a few numbers to a model, within a latency SLO.

python examples/infer.py --address 127.0.0.1:8001
"""

import argparse

from nexus.client import Client
from nexus.core.errors import DeadlineError, RefusedError


def main() -> None:
    """One request; an SLO that cannot be kept is refused at once, with a reason."""
    parser = argparse.ArgumentParser(description="one inference request")
    parser.add_argument("--address", default="127.0.0.1:8001", help="a frontend")
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--slo-ms", type=float, help="which session: default, the model's only one")
    arguments = parser.parse_args()

    with Client(arguments.address) as client:
        inputs = {"x": [[0.1, 0.2, 0.3, 0.4]]}
        try:
            result = client.infer(arguments.model, inputs, slo_ms=arguments.slo_ms, timeout_s=5)
        except RefusedError as error:
            print(f"refused, {error.reason}: retry after {error.details.get('retry_after_ms')} ms")
        except DeadlineError as error:
            print(f"not in time: {error}")
        else:
            print(f"{result.session} in {result.round_trip_us / 1000:.1f} ms, batch {result.batch}")
            for tensor in result.tensors:
                print(tensor.name, tensor.shape, result.values(tensor.name))


if __name__ == "__main__":
    main()
