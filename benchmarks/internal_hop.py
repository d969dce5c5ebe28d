"""Frames against a second grpc.aio hop: rate and CPU per request, interleaved, in one run.

A client process and a server process, both on uvloop, a fixed number of requests in flight; each
carries one UINT8 tensor and is answered by a small one. The paths take turns, and the medians of
the rounds are compared, so that whatever else the machine does falls on both.

The frames path does all that the product does: messages encoded, decoded and validated on both
sides. The grpc path is given the advantage: bytes of the same size, echoed by a generic handler,
without any conversion.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import grpc
import grpc.aio
import uvloop

from nexus.core.request import Dispatch, Outcome
from nexus.core.tensor import DataType, Tensor
from nexus.rpc.connection import Callbacks, FrameConnection, connect_frames, serve_frames
from nexus.rpc.frames import Infer, Message, Reply, infer_at
from nexus.rpc.limits import channel_options

METHOD = "/benchmark.Hop/Infer"
REPLY_BYTES = 1_024
IN_FLIGHT = 16
WARM_UP_S = 0.5

Ask: TypeAlias = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Round:
    """One path, once: requests per second, and CPU microseconds per request of each process."""

    rate: float
    client_cpu_us: float
    server_cpu_us: float


def uint8(size: int) -> Tensor:
    """A tensor of that many bytes."""
    return Tensor("x", DataType.UINT8, (size,), bytes(size))


def serve(control: Connection) -> None:
    """The server process: both servers, and its CPU time whenever it is asked for."""
    uvloop.run(serve_until_told(control))


async def serve_until_told(control: Connection) -> None:
    """Send the addresses, then the CPU seconds used, for each message, until one is False."""
    reply = Outcome(tensors=(uint8(REPLY_BYTES),), batch=1)

    def answer(connection: FrameConnection, message: Message) -> None:
        assert isinstance(message, Infer)
        connection.send(Reply(message.dispatch.id, reply))

    async def echo(_request: bytes, _context: object) -> bytes:
        return bytes(REPLY_BYTES)

    frames = await serve_frames("127.0.0.1", 0, name="b0", callbacks=Callbacks(on_message=answer))
    server = grpc.aio.server(options=channel_options())
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    service, _, name = METHOD[1:].partition("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {name: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    control.send((frames.address, f"127.0.0.1:{port}"))
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, control.recv):
        control.send(time.process_time())
    await frames.close()
    await server.stop(0)


async def frames_path(address: str, payload: int, stack: AsyncExitStack) -> Ask:
    """One request over the internal hop."""
    waiting: dict[int, asyncio.Future[Reply]] = {}
    loop = asyncio.get_running_loop()
    tensors = (uint8(payload),)
    sent = 0

    def settle(_: FrameConnection, message: Message) -> None:
        assert isinstance(message, Reply)
        waiting.pop(message.dispatch_id).set_result(message)

    async def ask() -> Reply:
        nonlocal sent
        sent += 1
        future: asyncio.Future[Reply] = loop.create_future()
        waiting[sent] = future
        dispatch = Dispatch(id=sent, session="resnet50@50ms", deadline_us=50_000)
        connection.send(infer_at(dispatch, tensors, 0))
        return await future

    connection = await connect_frames(address, name="f0", callbacks=Callbacks(on_message=settle))
    stack.callback(connection.close)
    return ask


async def grpc_path(address: str, payload: int, stack: AsyncExitStack) -> Ask:
    """One request over a unary grpc.aio call."""
    channel = await stack.enter_async_context(
        grpc.aio.insecure_channel(address, options=channel_options())
    )
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    content = bytes(payload)

    async def ask() -> bytes:
        return await call(content, timeout=10)

    return ask


async def keep_asking(ask: Ask, seconds: float) -> int:
    """Keep IN_FLIGHT requests open for that long; how many were answered."""
    until = time.perf_counter() + seconds
    answered = 0

    async def worker() -> None:
        nonlocal answered
        while time.perf_counter() < until:
            await ask()
            answered += 1

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return answered


async def measure(ask: Ask, seconds: float, control: Connection) -> Round:
    """One round of one path."""
    server_before, client_before = server_cpu(control), time.process_time()
    started = time.perf_counter()
    answered = await keep_asking(ask, seconds)
    elapsed = time.perf_counter() - started
    client_s = time.process_time() - client_before
    server_s = server_cpu(control) - server_before
    return Round(answered / elapsed, client_s / answered * 1e6, server_s / answered * 1e6)


def server_cpu(control: Connection) -> float:
    """CPU seconds the server process has used."""
    control.send(True)
    return float(control.recv())


async def compare(control: Connection, payload: int, rounds: int, seconds: float) -> dict[str, Any]:
    """All rounds, the paths taking turns, and the medians."""
    frames_address, grpc_address = control.recv()
    async with AsyncExitStack() as stack:
        paths = {
            "frames": await frames_path(frames_address, payload, stack),
            "grpc": await grpc_path(grpc_address, payload, stack),
        }
        for ask in paths.values():
            await keep_asking(ask, WARM_UP_S)
        measured: dict[str, list[Round]] = {name: [] for name in paths}
        for _ in range(rounds):
            for name, ask in paths.items():
                measured[name].append(await measure(ask, seconds, control))
    return summary(measured, payload)


def summary(measured: dict[str, list[Round]], payload: int) -> dict[str, Any]:
    """Medians by path, and frames relative to grpc, round by round."""
    pairs = list(zip(measured["frames"], measured["grpc"], strict=True))
    return {
        "payload_bytes": payload,
        "in_flight": IN_FLIGHT,
        "rounds": len(pairs),
        "median": {name: median(rounds) for name, rounds in measured.items()},
        "rate_ratio": [round(frames.rate / grpc_.rate, 2) for frames, grpc_ in pairs],
        "rate_ratio_median": statistics.median(frames.rate / grpc_.rate for frames, grpc_ in pairs),
    }


def median(rounds: list[Round]) -> dict[str, float]:
    """The median of every figure by itself."""
    columns = zip(*(asdict(one).values() for one in rounds), strict=True)
    names = asdict(rounds[0])
    return {name: statistics.median(column) for name, column in zip(names, columns, strict=True)}


def report(result: dict[str, Any]) -> None:
    """The result for people."""
    print(
        f"internal hop, {result['payload_bytes']} bytes in, {REPLY_BYTES} out, "
        f"{IN_FLIGHT} in flight, medians of {result['rounds']} interleaved rounds"
    )
    for name, figures in result["median"].items():
        print(
            f"  {name:6} {figures['rate']:8.0f}/s   CPU/request: "
            f"client {figures['client_cpu_us']:.0f} us, server {figures['server_cpu_us']:.0f} us"
        )
    print(f"  frames/grpc rate: {result['rate_ratio_median']:.2f}  {result['rate_ratio']}")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--payload", type=int, default=25_000, help="bytes of the request's tensor")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round of one path")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        result = uvloop.run(compare(here, options.payload, options.rounds, options.seconds))
    finally:
        here.send(False)
        server.join(10)
    if options.json:
        print(json.dumps(result))
    else:
        report(result)


if __name__ == "__main__":
    main()
