"""Ask a server's grpc.health.v1 whether it serves; the exit code is the answer.

Container engines without a native gRPC probe (Docker, Compose) run this as their health check;
Kubernetes uses its own.

    python -m nexus.deploy.probe 127.0.0.1:8001 --service nexus.backend
"""

import argparse
import sys
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 2.0


def serving_error(address: str, service: str = "", timeout_s: float = TIMEOUT_S) -> str | None:
    """Why the service at ``address`` (host:port) is not serving; None when it is."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    if reply.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when serving, 1 when not, with one line that says why."""
    parser = argparse.ArgumentParser(
        prog="python -m nexus.deploy.probe",
        description="Check a server's gRPC health; exit 0 when it serves.",
    )
    parser.add_argument("address", help="host:port of the gRPC server")
    parser.add_argument("--service", default="", help="health service name; empty: the server")
    arguments = parser.parse_args(argv)
    why = serving_error(arguments.address, arguments.service)
    if why is not None:
        sys.stderr.write(f"{arguments.address} {arguments.service or '(server)'}: {why}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
