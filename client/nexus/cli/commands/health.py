"""``nexus health``: a container's probe, where nothing but this package is installed."""

import argparse

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nexus.client.attempts import call_error
from nexus.core.errors import NexusError, UnavailableError

EXAMPLE = """\
  nexus health 127.0.0.1:8001
  nexus health 127.0.0.1:8001 --service inference.GRPCInferenceService"""
DEFAULT_TIMEOUT_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("address", metavar="HOST:PORT", help="the gRPC address of any server")
    parser.add_argument("--service", default="", help="one service (default: the whole server)")
    parser.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT_S, metavar="SECONDS")


def run(arguments: argparse.Namespace) -> int:
    """0 when it serves; 1 with the reason when it does not, or when nobody answers."""
    status = check(arguments.address, arguments.service, arguments.timeout)
    print(status)
    return 0 if status == "SERVING" else 1


def check(address: str, service: str, timeout_s: float) -> str:
    """The health status' name; raise the NexusError of a call that failed."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            reply = stub.Check(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _named(address, call_error(error)) from error
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def _named(address: str, error: NexusError) -> NexusError:
    if isinstance(error, UnavailableError):
        return UnavailableError(f"no server answers at {address}", reason=error.reason)
    return error
