"""Flags and environment variables."""

import pytest

from nexus.core.errors import InvalidArgumentError
from nexus.frontend.__main__ import main
from nexus.frontend.settings import parse_settings
from nexus.rpc.address import Address


def test_settings_flags_win_over_environment_over_defaults() -> None:
    environment = {"NEXUS_LISTEN": "0.0.0.0:1", "NEXUS_NAME": "from-env"}
    settings = parse_settings(["--name", "f1", "--advertise", "h"], environment)
    assert settings.listen == Address("0.0.0.0", 1)
    assert (settings.name, settings.advertise, settings.cluster) == ("f1", "h", "default")


def test_settings_advertise_defaults_to_a_host_others_can_reach() -> None:
    near = parse_settings(["--listen", "127.0.0.1:1"], {})
    assert near.advertise == "127.0.0.1"
    assert parse_settings(["--listen", "0.0.0.0:1"], {}).advertise not in {"0.0.0.0", ""}


def test_settings_peers_are_heard_where_callers_are() -> None:
    assert parse_settings(["--listen", "0.0.0.0:1"], {}).peer_listen == Address("0.0.0.0", 0)
    own = parse_settings(["--peer-listen", "127.0.0.1:2"], {})
    assert own.peer_listen == Address("127.0.0.1", 2)


@pytest.mark.parametrize("listen", ["8001", "h:", ":1", "h:x", "h:65536"])
def test_settings_bad_address_is_named(listen: str) -> None:
    with pytest.raises(InvalidArgumentError, match="--listen"):
        parse_settings(["--listen", listen], {})


def test_main_bad_flags_exit_with_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--listen", "nowhere"]) == 2
    assert "--listen 'nowhere' is not HOST:PORT" in capsys.readouterr().err
