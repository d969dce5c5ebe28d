"""The emulator finds what it is there to find: each defect planted in the source makes a run fail.

A plant is one exact replacement in one file of the kernel's source, so a change of that source
that makes a plant impossible fails here too. The first two are the classic ones: a flag raised
before the block's stores are all issued (as in GRNN's published barrier), and one without a fence.
"""

import ctypes
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.core.errors import InternalError
from tests.kernels.cuda_cases import Case, make_case, run_whole
from tests.kernels.cuda_emulator import (
    COMPILER,
    SOURCE,
    Emulator,
    compile_kernel,
)
from tests.kernels.test_cuda_emulated import CONFIGURATIONS, SEEDS

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++")

COUNTER = CONFIGURATIONS["lstm-counter"]


@dataclass(frozen=True, slots=True)
class Plant:
    """A defect: in this file, this text becomes that one."""

    configuration: Configuration
    file: str
    text: str
    becomes: str


PLANTS = {
    "flag before the block's stores": Plant(
        COUNTER,
        "exchange_counter.h",
        "barrier();  // all stores of the block come before its one release",
        "",
    ),
    "flag without a release": Plant(
        COUNTER,
        "exchange_counter.h",
        "if (threadIdx.x == 0) add_release(counter(), 1);",
        "if (threadIdx.x == 0) add_relaxed(counter(), 1);",
    ),
    "flag read without an acquire": Plant(
        COUNTER, "waiting.h", "load_acquire(counter)", "load_relaxed(counter)"
    ),
    "values read before the barrier behind the flag": Plant(
        COUNTER,
        "exchange_counter.h",
        "watch);\n    barrier();\n    const u32* from",
        "watch);\n    const u32* from",
    ),
    "words of the exchange before accepted": Plant(
        CONFIGURATIONS["lstm"],
        "exchange_words.h",
        "word.epoch != epoch",
        "(int)(word.epoch + 2 - epoch) < 0",
    ),
    "gates read before the sums are whole": Plant(
        CONFIGURATIONS["lstm"],
        "recurrent.cu",
        "exchange.wait_for_credit(number + 1);\n    barrier();",
        "exchange.wait_for_credit(number + 1);",
    ),
    "a step begun before h has all come": Plant(
        CONFIGURATIONS["lstm-fused"],
        "recurrent.cu",
        "if (barrier_or(watch.failed)) return false;",
        "if (watch.failed) return false;",
    ),
    "rows of x multiplied before they are all there": Plant(
        CONFIGURATIONS["lstm-split-weights"],
        "projection.h",
        "segment, inputs);\n      barrier();",
        "segment, inputs);",
    ),
    "state written where it is still read": Plant(
        CONFIGURATIONS["lstm"],
        "recurrent.cu",
        "slots[place.row].state_out, blockIdx",
        "slots[place.row].state_in, blockIdx",
    ),
    "ring reused without credit": Plant(
        replace(CONFIGURATIONS["lstm-wavefront"], ring=2),
        "exchange_words.h",
        "    wait_for_count(credits_of(part)",
        "    if (false) wait_for_count(credits_of(part)",
    ),
    "one copy of the vectors in a cluster": Plant(
        CONFIGURATIONS["lstm-cluster"],
        "exchange_cluster.h",
        "copy_of(int number) { return number % 2; }",
        "copy_of(int number) { return 0; }",
    ),
    "mbarrier never armed again": Plant(
        CONFIGURATIONS["lstm-cluster"],
        "recurrent.cu",
        "if (number > 0) exchange.rearm(number);",
        "",
    ),
    "peers written before they are ready": Plant(
        CONFIGURATIONS["lstm-cluster"],
        "exchange_cluster.h",
        "    }\n    cluster_barrier();\n  }",
        "    }\n  }",
    ),
    "r*h and h confused": Plant(
        CONFIGURATIONS["gru-before"],
        "recurrent.cu",
        "exchange.send(++number, reset_h);",
        "exchange.send(++number, items.h);",
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_planted_defect_is_found(name: str, emulated: Path) -> None:
    plant = PLANTS[name]
    text = (SOURCE / plant.file).read_text()
    assert text.count(plant.text) == 1, f"{plant.file} no longer has the text to replace"
    planted = {plant.file: text.replace(plant.text, plant.becomes)}
    library = compile_kernel(plant.configuration, emulated, planted)
    case = make_case(plant.configuration, (6, 1, 4))
    assert any(fails(library, case, seed) for seed in range(SEEDS))


def fails(library: ctypes.CDLL, case: Case, seed: int) -> bool:
    """Whether the run gives wrong values, a deadlock, or a timeout."""
    try:
        run_whole(case, Emulator(library, seed=seed))
    except (AssertionError, InternalError):
        return True
    return False
