"""The batch-oblivious allotment: devices, or fractions of them, in proportion to load.

Paper, section 7.2: the scheduler that Clipper and TF-Serving are given, and the "-SS" ablation.
Each session gets a share of the cluster proportional to its rate and inversely proportional to its
highest throughput on one device, whatever it must share that device with.
"""

from collections.abc import Collection, Sequence

from nexus.core.names import QueryName, StageName
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.split import even_split
from nexus.simulator.baselines.duty_cycle_devices import Slot
from nexus.simulator.baselines.item import Line
from nexus.simulator.baselines.situation import Situation, throughput

SHARE_EPSILON = 1e-9


def even_splits(scenario: Scenario) -> dict[QueryName, dict[StageName, int]]:
    """Every query's SLO divided evenly: these systems know nothing of queries."""
    return {entry.query.name: even_split(entry.query) for entry in scenario.queries}


def shares(situation: Situation, leave_out: Collection[Line] = ()) -> list[float]:
    """How many devices each session is to have; they sum to all there are."""
    needs = [
        0.0
        if line in leave_out
        else served.rate / throughput(served.table, served.saturating_batch())
        for line, served in enumerate(situation.served)
    ]
    scale = len(situation.devices) / max(sum(needs), SHARE_EPSILON)
    return [need * scale for need in needs]


def fill(amounts: Sequence[float], bins: Sequence[float]) -> list[list[tuple[int, float]]]:
    """Pour amounts into bins one after another; the parts of each amount in every bin.

    What is left at the end by rounding goes into the last bin.
    """
    filled: list[list[tuple[int, float]]] = [[] for _ in bins]
    index, room = 0, bins[0]
    for source, amount in enumerate(amounts):
        left = amount
        while left > SHARE_EPSILON:
            last = index == len(bins) - 1
            part = left if last else min(left, room)
            filled[index].append((source, part))
            left -= part
            room -= part
            if room <= SHARE_EPSILON and not last:
                index += 1
                room = bins[index]
    return filled


def oblivious_slots(situation: Situation, leave_out: Collection[Line] = ()) -> list[list[Slot]]:
    """Each device's sessions: its share of their rates, and the batch each would have alone."""
    amounts = shares(situation, leave_out)
    parts = fill(amounts, [1.0] * len(situation.devices))
    return [
        [
            Slot(
                line,
                situation.served[line].saturating_batch(),
                situation.served[line].rate * part / amounts[line],
            )
            for line, part in mine
        ]
        for mine in parts
    ]
