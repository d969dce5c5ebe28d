"""What every simulated process is built with."""

from dataclasses import dataclass

from nexus.core.units import US_PER_S
from nexus.simulator.network import Network
from nexus.simulator.simulated_store import SimulatedStore
from nexus.simulator.world import World

REPORT_US = US_PER_S
"""Every process reports this often, as the servers do."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time, the way to others, and the store."""

    world: World
    network: Network
    store: SimulatedStore
