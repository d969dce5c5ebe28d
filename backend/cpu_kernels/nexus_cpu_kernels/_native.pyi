# Types of the compiled part; a test compares them with what it says of itself.
# Arrays are numpy's here, because that type tells float32 from float64. CPU tensors work as well.
from collections.abc import Sequence
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int32]

def features() -> tuple[str, ...]: ...

class Pool:
    def __init__(self, threads: int, cores: Sequence[int] = []) -> None: ...
    @property
    def threads(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...

class Plan:
    def __init__(
        self, *, threads: int = 0, split: str = "auto", rows_per_block: int = 0, chunk_rows: int = 0
    ) -> None: ...
    @property
    def threads(self) -> int: ...
    @property
    def split(self) -> str: ...
    @property
    def rows_per_block(self) -> int: ...
    @property
    def chunk_rows(self) -> int: ...

class Stack:
    def __init__(
        self,
        cell: str,
        layers: Sequence[tuple[Floats, Floats, Floats, Floats]],
        bidirectional: bool = False,
        precision: str = "fp32",
        isa: str = "best",
    ) -> None: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def bidirectional(self) -> bool: ...
    @property
    def isa(self) -> str: ...
    @property
    def weight_bytes(self) -> int: ...
    def run(
        self,
        pool: Pool,
        x: Floats,
        y: Floats,
        lengths: Integers | None = None,
        h0: Floats | None = None,
        c0: Floats | None = None,
        hT: Floats | None = None,  # noqa: N803 - the name it has in C++, and in texts on LSTMs
        cT: Floats | None = None,  # noqa: N803 - as above
        plan: Plan | None = None,
    ) -> None: ...
    def step(
        self,
        pool: Pool,
        x: Floats,
        y: Floats,
        h: Floats,
        c: Floats | None = None,
        plan: Plan | None = None,
    ) -> None: ...
    def plan_for(self, rows: int, steps: int, threads: int, plan: Plan | None = None) -> Plan: ...

class Slots:
    def __init__(self, stack: Stack, slots: int) -> None: ...
    def __len__(self) -> int: ...
    def reset(self, slot: int, h0: Floats | None = None, c0: Floats | None = None) -> None: ...
    def advance(
        self,
        pool: Pool,
        slots: Integers,
        x: Floats,
        y: Floats,
        lengths: Integers | None = None,
        plan: Plan | None = None,
    ) -> None: ...
    def read(self, slot: int, h: Floats, c: Floats | None = None) -> None: ...
