"""The worked examples of Nexus (SOSP'19): Table 2 and the saturated throughputs."""

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile
from nexus.core.session import Session
from nexus.core.units import us_from_ms
from nexus.scheduler.demand import Demand
from nexus.scheduler.packing import pack_device, pack_residues
from tests.scheduler.planning_cases import make_demand

DEVICE = DeviceSpec(type="gpu")
TABLE_2_MS = {
    "A": {4: 50, 8: 75, 16: 100},
    "B": {4: 50, 8: 90, 16: 125},
    "C": {4: 60, 8: 95, 16: 125},
}


def table_2_profile(model: str) -> Profile:
    """Batches between the rows of the table run as the next larger row, as padded ones do."""
    rows = TABLE_2_MS[model]
    latencies = [rows[min(row for row in rows if row >= batch)] for batch in range(1, 17)]
    return Profile(
        model=model, device="gpu", latencies_us=tuple(us_from_ms(ms) for ms in latencies)
    )


def table_2_demand(model: str, rate: float, slo_ms: float) -> Demand:
    session = Session(model=model, slo_us=us_from_ms(slo_ms))
    return make_demand(session, rate, table_2_profile(model), batch_cap=16, network_us=0)


def test_paper_packing_residues_of_table_2_share_two_devices() -> None:
    residues = [
        table_2_demand("A", 64, 200),
        table_2_demand("B", 32, 250),
        table_2_demand("C", 32, 250),
    ]
    nodes = pack_residues(residues, DEVICE, search=False)
    packed = [
        {d.session.model: b for d, b in zip(n.demands, n.batches, strict=True)} for n in nodes
    ]
    assert packed == [{"A": 8, "B": 4}, {"C": 4}]
    assert nodes[0].duty_cycle_us == 125_000
    assert nodes[0].occupancy == 1.0


def test_paper_packing_finds_no_better_duty_cycle_for_table_2() -> None:
    residues = [
        table_2_demand("A", 64, 200),
        table_2_demand("B", 32, 250),
        table_2_demand("C", 32, 250),
    ]
    assert len(pack_residues(residues, DEVICE, search=True)) == 2


def test_paper_packing_saturated_throughputs_are_160_128_128() -> None:
    demands = [table_2_demand(m, 1, slo) for m, slo in (("A", 200), ("B", 250), ("C", 250))]
    assert [(demand.batch, demand.throughput) for demand in demands] == [
        (16, 160.0),
        (16, 128.0),
        (16, 128.0),
    ]


def test_paper_packing_gives_whole_devices_first() -> None:
    nodes = pack_device([table_2_demand("A", 2 * 160 + 64, 200)], DEVICE, search=False)
    assert [(node.batches, node.duty_cycle_us) for node in nodes] == [
        ((16,), 100_000),
        ((16,), 100_000),
        ((8,), 125_000),
    ]
