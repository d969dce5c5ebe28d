"""Generate the committed protobuf code of ``protos/``, or with ``--check`` prove it is current.

For every ``.proto`` file: ``_pb2.py`` and ``_pb2.pyi``, and, where it declares a service,
``_pb2_grpc.py`` and ``_pb2_grpc.pyi``. One change is made to what protoc writes: the modules take
their descriptor pool from ``nexus.protobuf_pool`` instead of the process-wide one (ADR 0004).
"""

import argparse
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")

_SHARED_POOL = "from google.protobuf import descriptor_pool as _descriptor_pool\n"
_PRIVATE_POOL = "from nexus import protobuf_pool as _descriptor_pool\n"


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit code is 1 when the committed code is not what protoc writes."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if parser.parse_args(arguments).check:
        return check(PROTOS)
    for path in generated_files(PROTOS):
        path.unlink()
    generate(PROTOS, PROTOS)
    return 0


def check(protos: Path) -> int:
    """Generate into a temporary folder and compare; 0 when nothing differs."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(protos, fresh)
        differing = sorted(
            name
            for name in relative_names(protos) | relative_names(fresh)
            if content(protos / name) != content(fresh / name)
        )
    for name in differing:
        print(f"protos/{name} is not what protos/ and protoc make; run `make protos`")
    return 1 if differing else 0


def generate(protos: Path, out: Path) -> None:
    """Run protoc over every .proto below ``protos``; exit with its message when it refuses."""
    sources = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={protos}",
            f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--plugin=protoc-gen-mypy={plugin('protoc-gen-mypy')}",
            f"--mypy_out=quiet:{out}",
            f"--plugin=protoc-gen-mypy_grpc={plugin('protoc-gen-mypy_grpc')}",
            f"--mypy_grpc_out=quiet:{out}",
            *sources,
        ]
    )
    if status:
        raise SystemExit(f"protoc failed with status {status}; its message is above")
    drop_empty_services(protos, out)
    for path in out.rglob("*_pb2.py"):
        use_private_pool(path)


def plugin(name: str) -> Path:
    """The path of a protoc plugin installed beside this interpreter."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise SystemExit(f"{path} does not exist; run `make install` (package mypy-protobuf)")
    return path


def drop_empty_services(protos: Path, out: Path) -> None:
    """Delete the empty gRPC modules that protoc writes for files without a service."""
    for proto in protos.rglob("*.proto"):
        if "\nservice " not in proto.read_text():
            stem = out / proto.relative_to(protos).with_suffix("")
            for suffix in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
                Path(f"{stem}{suffix}").unlink(missing_ok=True)


def use_private_pool(path: Path) -> None:
    """Make one generated module take its pool from us."""
    text = path.read_text()
    if text.count(_SHARED_POOL) != 1:
        raise SystemExit(f"{path}: no single line {_SHARED_POOL!r}; protoc's output has changed")
    path.write_text(text.replace(_SHARED_POOL, _PRIVATE_POOL))


def relative_names(folder: Path) -> set[str]:
    """Generated files below a folder, relative to it."""
    return {str(path.relative_to(folder)) for path in generated_files(folder)}


def generated_files(folder: Path) -> list[Path]:
    """Generated files below a folder."""
    return [path for pattern in GENERATED for path in folder.rglob(pattern)]


def content(path: Path) -> str | None:
    """A file's text, or None when it does not exist."""
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
