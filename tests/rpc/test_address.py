"""One parser of HOST:PORT for all flags, reports and tables."""

import pytest

from nexus.core.errors import InvalidArgumentError
from nexus.rpc.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("b0.backends:0", "b0.backends", 0), ("[::1]:9", "::1", 9)],
)
def test_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert (address.socket_host, address.port, str(address)) == (host, port, text)


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:x", "host:-1", "host:65536"])
def test_address_that_is_none_is_named(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"--listen .* is not HOST:PORT") as caught:
        parse_address(text, "--listen")
    assert caught.value.reason == "invalid_address"


def test_address_with_more_colons_ends_with_its_port() -> None:
    assert parse_address("::1:80") == Address("::1", 80)
