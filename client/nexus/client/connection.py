"""How connections are made: addresses, number of connections, channel options."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from nexus.client.stubs import Stubs
from nexus.core.errors import InvalidArgumentError
from nexus.rpc.address import parse_address
from nexus.rpc.limits import channel_options

CONNECTIONS_MAX = 64
RECONNECT_FIRST_MS = 100
RECONNECT_LIMIT_MS = 2_000

ChannelT = TypeVar("ChannelT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Where to, and over how many connections each.

    One HTTP/2 connection is one TCP stream and one thread of the server: a client with much to send
    opens several. ``message_bytes_max`` limits what is sent and received.
    """

    addresses: tuple[str, ...]
    connections: int = 1
    message_bytes_max: int

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on no or malformed addresses, or a count out of range."""
        if not self.addresses:
            raise InvalidArgumentError("a client needs the address of a server, HOST:PORT")
        for address in self.addresses:
            parse_address(address)
        if not 1 <= self.connections <= CONNECTIONS_MAX:
            raise InvalidArgumentError(
                f"connections={self.connections} is not in 1..{CONNECTIONS_MAX}"
            )

    def channel_options(self) -> list[tuple[str, int]]:
        """Options of a channel, with a subchannel pool of its own: else all would share one."""
        return [
            *channel_options(self.message_bytes_max),
            ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
            ("grpc.min_reconnect_backoff_ms", RECONNECT_FIRST_MS),
            ("grpc.max_reconnect_backoff_ms", RECONNECT_LIMIT_MS),
            ("grpc.use_local_subchannel_pool", 1),
            # Our own retry rule knows what is safe; gRPC's would repeat below it.
            ("grpc.enable_retries", 0),
        ]


def settings_for(
    addresses: str | Sequence[str], connections: int, message_bytes_max: int
) -> ConnectionSettings:
    """Settings from one address or several."""
    listed = (addresses,) if isinstance(addresses, str) else tuple(addresses)
    return ConnectionSettings(
        addresses=listed, connections=connections, message_bytes_max=message_bytes_max
    )


class ChannelRing(Generic[ChannelT]):
    """All channels, used in turn: load spreads over them, and a retry goes to the next."""

    def __init__(
        self,
        settings: ConnectionSettings,
        make: Callable[[str, list[tuple[str, int]]], ChannelT],
        stubs: Callable[[ChannelT], Stubs],
    ) -> None:
        """Make the channels, which connect at the first call."""
        options = settings.channel_options()
        self.channels = [
            make(address, options)
            for _ in range(settings.connections)
            for address in settings.addresses
        ]
        # next() on itertools.cycle is one C call, so threads may share it.
        self._ring = itertools.cycle([stubs(channel) for channel in self.channels])

    def next(self) -> Stubs:
        """The stubs to make the next attempt with."""
        return next(self._ring)
