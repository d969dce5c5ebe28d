"""NVRTC compiles the kernels for every architecture: no stack, and the committed registers."""

import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.choice import Demand, choose
from nexus.backend.kernels.cuda.compiler import CompiledKernel, compile_configuration
from nexus.backend.kernels.cuda.configuration import Configuration, Exchange
from nexus.backend.kernels.cuda.cubin import resources_of
from nexus.backend.kernels.cuda.device_limits import KNOWN, registers_per_thread
from nexus.backend.kernels.cuda.source_text import kernel_source
from nexus.cli.main import main
from nexus.core.errors import InternalError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="needs the extra cuda (NVRTC)"
)
ROOT = Path(__file__).parents[2]
TABLE: dict[str, list[dict[str, Any]]] = json.loads(
    (ROOT / "docs" / "kernels-registers.json").read_text()
)
WORST = Configuration(
    Cell.LSTM, Precision.FP32, 1024, 1024, units=8, threads=256, lanes=32, batch_tile=1
)
COMPARED = (
    "exchange",
    "units",
    "threads",
    "batch_tile",
    "shared_bytes",
    "registers",
    "stack_bytes",
)
BY_LABEL = {f"{limits.name} (sm_{limits.arch})": limits for limits in KNOWN.values()}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cubins")


def rows(per_device: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(GPU, row of the table): all, or a few of each."""
    for label, lines in TABLE.items():
        chosen = lines if per_device is None else lines[:: max(len(lines) // per_device, 1)]
        yield from ((label, line) for line in chosen[:per_device])


def check_row(label: str, row: dict[str, Any], cache: Path) -> None:
    """The same configuration is chosen, and takes what the table says."""
    limits = BY_LABEL[label]
    demand = Demand(
        Cell(row["cell"]),
        Precision(row["precision"]),
        row["hidden"],
        row["hidden"],
        row["batch"],
        row["directions"],
        row["layers"],
        row["fused"],
    )
    configuration = choose(demand, limits).configuration
    compiled = compile_configuration(configuration, limits.arch, cache)
    found = (
        configuration.exchange.name.lower(),
        configuration.units,
        configuration.threads,
        configuration.batch_tile,
        configuration.shared_bytes,
        compiled.resources.registers,
        compiled.resources.stack_bytes,
    )
    names = [
        "exchange",
        "units",
        "threads",
        "batch_tile",
        "shared_bytes",
        "registers",
        "stack_bytes",
    ]
    assert found == tuple(row[name] for name in names), "run tools/kernel_registers.py"
    assert compiled.resources.registers <= registers_per_thread(configuration.threads)
    assert compiled.resources.stack_bytes == 0


def test_compiled_kernels_take_what_the_table_says(cache: Path) -> None:
    for label, row in rows(per_device=1):
        check_row(label, row, cache)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("label", TABLE)
def test_compiled_kernels_all_take_what_the_table_says(label: str, cache: Path) -> None:
    for device, row in rows():
        if device == label:
            check_row(label, row, cache)


def test_compiled_kernel_comes_from_the_cache(tmp_path: Path) -> None:
    first = compile_configuration(WORST, 80, tmp_path)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(first.cubin == path.read_bytes() for path in kept)
    assert compile_configuration(WORST, 80, tmp_path) == first
    other = compile_configuration(replace(WORST, batch_tile=2), 80, tmp_path)
    assert other != first


def test_compiled_kernel_with_a_stack_is_refused(cache: Path) -> None:
    greedy = replace(WORST, hidden_size=2048, units=16)
    with pytest.raises(InternalError, match="bytes of stack"):
        compile_configuration(greedy, 90, cache)


def test_source_text_includes_nothing() -> None:
    assert "#include" not in kernel_source().replace('#include "emulator_port.h"', "")


def test_resources_of_something_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="cubin"):
        resources_of(b"#!/bin/sh")


def test_kernels_warm_compiles_one_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "kernels",
        "warm",
        "--device",
        "a100",
        "--hidden",
        "64",
        "--cell",
        "gru",
        "--precision",
        "fp16",
        "--cache",
    ]
    assert main([*words, str(tmp_path)]) == 0
    assert "gru fp16 hidden 64" in capsys.readouterr().out
    assert any(tmp_path.rglob("*"))


# ---- the machine code of the loop ---------------------------------------------------------------


def disassembler() -> Path | None:
    """`nvdisasm` of the development requirements."""
    spec = importlib.util.find_spec("nvidia")
    places = spec.submodule_search_locations if spec else ()
    found = [path for place in places or () for path in Path(place).glob("*/bin/nvdisasm")]
    return found[0] if found else None


LINE = re.compile(r"^(?:\s+/\*[0-9a-f]{4,5}\*/\s+(.*?)\s*;|(\.L_x_\d+):)", re.MULTILINE)
STORE = re.compile(r"STG\.E\.128\.STRONG\.GPU")


def instructions(compiled: CompiledKernel, folder: Path) -> list[str]:
    """Machine code in the order it lies in memory: instructions, and labels with a colon."""
    tool = disassembler()
    if tool is None:
        pytest.skip("needs nvidia-cuda-nvdisasm")
    cubin = folder / "kernel.cubin"
    cubin.write_bytes(compiled.cubin)
    command = [str(tool), "-c", str(cubin)]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return [match[1] or f"{match[2]}:" for match in LINE.finditer(text)]


def loop_of_steps(lines: list[str]) -> list[str]:
    """The smallest loop that holds both the product and the exchange's store."""
    places = {line[:-1]: index for index, line in enumerate(lines) if line.endswith(":")}
    loops = []
    for end, line in enumerate(lines):
        target = re.search(r"BRA `\((\.L_x_\d+)\)", line)
        body = lines[places[target[1]] : end + 1] if target else []
        if any(map(STORE.search, body)) and sum("FFMA" in line for line in body) >= 32:
            loops.append(body)
    return min(loops, key=len)


@pytest.mark.parametrize("arch", [80, 90])
def test_loop_of_the_worst_case_has_one_exchange_and_no_spill(
    arch: int, cache: Path, tmp_path: Path
) -> None:
    compiled = compile_configuration(WORST, arch, cache)
    assert compiled.resources.stack_bytes == 0
    lines = instructions(compiled, tmp_path)
    assert not [line for line in lines if re.search(r"\b(LDL|STL)\b", line)]
    loop = loop_of_steps(lines)

    def count(pattern: str) -> int:
        return sum(bool(re.search(pattern, line)) for line in loop)

    assert count(STORE.pattern) == 1  # one exchange: a word is sent
    assert 128 <= count(r"\bFFMA\b") < 160  # each weight once, and the activations
    assert count(r"LDS\.128") == 8 + 1  # 1024 features of h, four to a lane; a unit's sums
    assert count(r"MEMBAR|CCTL|ATOM|REDG") == 0  # no fence, no cache invalidation, no atomic
    assert count(r"SHFL\.BFLY") == 6  # transposed: 20 if each sum had a butterfly of its own
    assert count(r"BAR\.(SYNC|RED)") == 2


def test_counter_exchange_has_the_fences_that_words_do_without(cache: Path, tmp_path: Path) -> None:
    reference = replace(WORST, exchange=Exchange.COUNTER)
    lines = instructions(compile_configuration(reference, 90, cache), tmp_path)
    assert [line for line in lines if "MEMBAR" in line]
    assert [line for line in lines if "CCTL" in line]
