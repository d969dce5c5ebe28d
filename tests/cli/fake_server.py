"""Stands in for a server of a local cluster: prints its ready line and waits; obeys its name.

``python fake_server.py COMPONENT --name NAME --listen HOST:PORT ...``. NEXUS_FAKE_FAULT is
``NAME:silent`` (never ready), ``NAME:dies`` (exit 3 at start) or ``NAME:deaf`` (ignores SIGTERM).
"""

import os
import signal
import socket
import sys
import time


def main() -> None:
    component, flags = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    name = flags["--name"]
    faulty, _, fault = os.environ.get("NEXUS_FAKE_FAULT", "").partition(":")
    if faulty == name and fault == "dies":
        sys.stderr.write(f"{name}: the weights are missing\n")
        sys.exit(3)
    if faulty == name and fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    host, _, port = flags["--listen"].partition(":")
    with socket.create_server((host, int(port))) as server:
        address = f"{host}:{server.getsockname()[1]}"
        sys.stdout.write(f"ready component={component} name={name} ")
        if not (faulty == name and fault == "silent"):
            sys.stdout.write(f"grpc={address} metrics=127.0.0.1:1\n")
        sys.stdout.flush()
        time.sleep(600)


if __name__ == "__main__":
    main()
