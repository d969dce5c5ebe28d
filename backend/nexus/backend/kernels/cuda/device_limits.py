"""What a GPU offers a persistent kernel: how many blocks, registers and bytes there are at once.

A block of these kernels takes a whole SM (its weights fill registers and shared memory), so the
blocks that can wait for each other are as many as there are SMs.
"""

from dataclasses import dataclass

REGISTERS_PER_SM = 65_536
REGISTERS_PER_THREAD = 255
WARPS_DEALT = 128
"""Threads by which a block's registers are dealt out: a warp for each of an SM's four quarters."""
REGISTERS_DEALT = 8
THREADS_PER_BLOCK = 1024
CLUSTER_ARCH = 90
"""From sm_90 on, blocks can be scheduled in clusters and write each other's shared memory."""
BF16_ARCH = 80
CLUSTER_BLOCKS = 16
"""Of one cluster, with the non-portable size allowed."""


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """One kind of GPU: ``arch`` is 90 for sm_90, ``shared_bytes`` what one block may ask for."""

    name: str
    arch: int
    sms: int
    shared_bytes: int

    @property
    def clusters(self) -> bool:
        """Whether blocks can form clusters."""
        # Parts for graphics (sm_120) have clusters too, but only of one block in effect.
        return self.arch in {90, 100}


KNOWN = {
    limits.name: limits
    for limits in (
        DeviceLimits("t4", 75, 40, 65_536),
        DeviceLimits("a100", 80, 108, 166_912),
        DeviceLimits("a10", 86, 72, 101_376),
        DeviceLimits("l4", 89, 58, 101_376),
        DeviceLimits("h100", 90, 132, 232_448),
        DeviceLimits("b200", 100, 148, 232_448),
        DeviceLimits("rtx5090", 120, 170, 101_376),
    )
}
"""By product, for planning and for compiling ahead without the device."""


def registers_per_thread(threads: int) -> int:
    """The most that a thread of a block with so many threads can have."""
    dealt = -(-threads // WARPS_DEALT) * WARPS_DEALT
    most = REGISTERS_PER_SM // dealt // REGISTERS_DEALT * REGISTERS_DEALT
    return min(REGISTERS_PER_THREAD, most)
