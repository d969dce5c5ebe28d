"""Compiles every shipped kernel for every known GPU and writes what each takes of it.

    python tools/kernel_registers.py            write docs/kernels-registers.json
    python tools/kernel_registers.py --check    say what differs from it, and exit 1

Needs the extra ``cuda`` (NVRTC), no GPU; about two minutes without a cache.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from nexus.backend.kernels.cuda.choice import Demand
from nexus.backend.kernels.cuda.compiler import compile_configuration
from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.device_limits import KNOWN
from nexus.backend.kernels.cuda.shipped import shipped

TABLE = Path(__file__).parents[1] / "docs" / "kernels-registers.json"


def row_of(demand: Demand, configuration: Configuration, arch: int) -> dict[str, Any]:
    """One line of the table; raises InternalError where the kernel needs a stack."""
    compiled = compile_configuration(configuration, arch)
    return {
        "cell": demand.cell.value,
        "precision": demand.precision.value,
        "hidden": demand.hidden_size,
        "batch": demand.batch,
        "directions": demand.directions,
        "layers": demand.layers,
        "fused": configuration.fused,
        "exchange": configuration.exchange.name.lower(),
        "units": configuration.units,
        "threads": configuration.threads,
        "batch_tile": configuration.batch_tile,
        "shared_bytes": configuration.shared_bytes,
        "registers": compiled.resources.registers,
        "stack_bytes": compiled.resources.stack_bytes,
    }


def table() -> dict[str, list[dict[str, Any]]]:
    """Rows by GPU."""
    return {
        f"{limits.name} (sm_{limits.arch})": [
            row_of(demand, configuration, limits.arch) for demand, configuration in shipped(limits)
        ]
        for limits in KNOWN.values()
    }


def text_of(rows: dict[str, list[dict[str, Any]]]) -> str:
    """One row a line, so that a change reads as one."""
    parts = []
    for name, lines in rows.items():
        joined = ",\n".join("    " + json.dumps(line) for line in lines)
        parts.append(f"  {json.dumps(name)}: [\n{joined}\n  ]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    """Write the table, or compare with it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    text = text_of(table())
    if not parser.parse_args().check:
        TABLE.write_text(text)
        return 0
    committed, found = TABLE.read_text().splitlines(), text.splitlines()
    changed = [line for line in found if line not in committed]
    print(*(changed or ["as committed"]), sep="\n")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
