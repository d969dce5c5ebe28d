"""An address as flags, reports and routing tables write it: HOST:PORT."""

from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError

PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or to connect; port 0 takes a free one to listen on.

    ``host`` is as written: an IPv6 address in brackets.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def socket_host(self) -> str:
        """The host as sockets take it: an IPv6 address without its brackets."""
        return self.host.removeprefix("[").removesuffix("]")


def parse_address(text: str, what: str = "address") -> Address:
    """``HOST:PORT`` in two; raise InvalidArgumentError naming ``what`` it was when it is not."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        raise InvalidArgumentError(
            f"{what} {text!r} is not HOST:PORT with a port of 0..{PORT_MAX}",
            reason="invalid_address",
        )
    return Address(host, int(port))
