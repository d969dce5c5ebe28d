"""A plan's picture shows every session, keeps slots apart, and lets no name break out."""

import itertools
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.core.plan import BackendPlan, Infeasible, Placement, Plan
from nexus.drawing.plan_picture import plan_svg
from nexus.drawing.plan_rows import ROWS_MAX, sections_of, session_costs
from tests.drawing.svg_reading import contents, extent, parse, shapes, size_of, texts

SPITEFUL = "</title></svg><script>alert('&')</script>\"\x00\ud800"


def placed(
    session: str,
    latency_us: int = 10_000,
    *,
    rate: float = 100.0,
    pool: str | None = None,
    group: str | None = None,
    spare: bool = False,
) -> Placement:
    return Placement(
        session=session,
        model="m",
        slo_us=50_000,
        batch=8,
        rate=rate,
        latency_us=latency_us,
        pool=pool,
        group=group,
        spare=spare,
    )


def device(
    *placements: Placement, cycle_us: int = 40_000, kind: str = "v100", name: str = ""
) -> BackendPlan:
    work_us = sum(placement.latency_us for placement in placements if not placement.spare)
    return BackendPlan(
        device=kind,
        duty_cycle_us=cycle_us,
        occupancy=work_us / cycle_us,
        placements=placements,
        backend=name,
    )


names = st.sampled_from([*(f"model{i}@50ms" for i in range(30)), SPITEFUL, "", "ünï/çödé"])
placements = st.builds(
    placed,
    names,
    st.integers(1, 60_000),
    rate=st.floats(0, 1e6),
    pool=st.none() | names,
    group=st.none() | st.just("group"),
    spare=st.booleans(),
)
backends = st.builds(
    lambda some, cycle_us, kind: device(*some, cycle_us=cycle_us, kind=kind),
    st.lists(placements, max_size=12),
    st.integers(1, 200_000),
    st.sampled_from(["v100", "k80"]),
)
plans = st.builds(
    Plan,
    backends=st.lists(backends, max_size=24).map(tuple),
    unmet=st.dictionaries(names, st.floats(0, 1e6), max_size=20),
    infeasible=st.lists(st.builds(Infeasible, names, names), max_size=3).map(tuple),
    splits=st.dictionaries(names, st.dictionaries(names, st.integers(1, 10**9)), max_size=3),
)


@settings(max_examples=25)
@given(plans, names)
def test_plan_svg_is_well_formed_whatever_the_plan(plan: Plan, title: str) -> None:
    root = parse(plan_svg(plan, title))
    assert root.tag.endswith("svg")
    assert not [element for element in root.iter() if element.tag.endswith("script")]


@settings(max_examples=25)
@given(plans)
def test_plan_svg_keeps_slots_apart_and_inside_their_row(plan: Plan) -> None:
    picture = plan_svg(plan)
    width, height = size_of(picture)
    slots = [shape for shape in shapes(picture) if " of the cycle, " in shape.tooltip]
    rows: dict[float, set[tuple[float, float]]] = {}
    for shape in slots:
        rows.setdefault(round(shape.y, 1), set()).add((shape.x, shape.width))
        assert 0 <= shape.x <= shape.x + shape.width <= width
        assert shape.y + shape.height <= height
    for spans in rows.values():
        for (left, wide), (after, _) in itertools.pairwise(sorted(spans)):
            assert left + wide <= after + 0.02  # written with two digits


@settings(max_examples=25)
@given(plans)
def test_plan_svg_keeps_texts_inside_the_page(plan: Plan) -> None:
    picture = plan_svg(plan, "a title " * 40)
    width, height = size_of(picture)
    for words in texts(picture):
        left, right = extent(words)
        assert left >= 0, words
        assert right <= width, words
        assert words.y <= height, words


@settings(max_examples=25)
@given(plans)
def test_sections_of_shares_a_cycle_without_overlap(plan: Plan) -> None:
    sections = sections_of(plan)
    assert sum(section.devices for section in sections) == len(plan.backends)
    for row in (row for section in sections for row in section.rows):
        ends = [0.0]
        for slot in row.slots:
            assert ends[-1] <= slot.begin <= slot.end <= 1.0 + 1e-9
            ends.append(slot.end)


def test_plan_svg_shows_every_session_with_its_batch_and_time() -> None:
    plan = Plan(
        backends=(device(placed("a@50ms"), placed("b@60ms", 20_000)), device(placed("c@9ms")))
    )
    found = contents(plan_svg(plan))
    for words in ("a@50ms", "b@60ms", "c@9ms", "8 · 20 ms", "50%"):
        assert words in found, words


def test_plan_svg_says_what_is_not_served() -> None:
    plan = Plan(
        infeasible=(Infeasible("x@5ms", "l(1) = 8.7 ms"),),
        unmet={"y@50ms": 12.0},
        splits={"traffic": {"detect": 180_000}},
    )
    found = contents(plan_svg(plan))
    assert "x@5ms cannot be served: l(1) = 8.7 ms" in found
    assert "y@50ms: 12.0/s are not covered" in found
    assert "query traffic: detect 180 ms" in found


def test_plan_svg_escapes_names() -> None:
    picture = plan_svg(Plan(backends=(device(placed("<a&b>@50ms")),)))
    assert "<a&b>@50ms" in contents(picture)
    assert "<a&b>" not in picture


def test_plan_svg_same_plan_gives_the_same_bytes() -> None:
    plan = Plan(backends=tuple(device(placed(f"m{i}@50ms")) for i in range(30)))
    assert plan_svg(plan) == plan_svg(plan)


def test_plan_svg_session_keeps_its_colour_when_others_come_and_go() -> None:
    def colour_of(session: str, plan: Plan) -> set[str]:
        return {s.kind for s in shapes(plan_svg(plan)) if s.tooltip.startswith(f"{session}: batch")}

    alone = Plan(backends=(device(placed("resnet50@50ms")),))
    among = Plan(backends=(device(placed("resnet50@50ms"), placed("a@50ms"), placed("z@10ms")),))
    assert colour_of("resnet50@50ms", alone) == colour_of("resnet50@50ms", among)
    assert len(colour_of("resnet50@50ms", alone)) == 1


def test_plan_svg_follows_dark_and_light() -> None:
    assert "prefers-color-scheme: dark" in plan_svg(Plan())


def test_sections_of_groups_by_type_and_pool() -> None:
    plan = Plan(
        backends=(
            device(placed("a@50ms")),
            device(placed("a@50ms", pool="p")),
            device(placed("b@50ms"), kind="k80"),
            device(placed("a@50ms", pool="p")),
        )
    )
    found = [(section.device, section.pool, section.devices) for section in sections_of(plan)]
    assert found == [("k80", "", 1), ("v100", "p", 2), ("v100", "", 1)]


def test_sections_of_many_devices_share_rows() -> None:
    same = Plan(backends=tuple(device(placed("a@50ms")) for _ in range(ROWS_MAX + 1)))
    (section,) = sections_of(same)
    assert [(row.count, row.label) for row in section.rows] == [(201, "201 devices")]
    differing = Plan(backends=tuple(device(placed(f"m{i}@50ms")) for i in range(1_000)))
    (section,) = sections_of(differing)
    (row,) = section.rows
    assert row.count == 1_000
    assert row.occupancy == pytest.approx(0.25)
    assert sum(slot.end - slot.begin for slot in row.slots) == pytest.approx(0.25)


def test_sections_of_group_is_one_batch() -> None:
    together = device(placed("a@50ms", group="m"), placed("b@90ms", group="m"), placed("c@50ms"))
    (section,) = sections_of(Plan(backends=(together,)))
    assert [slot.sessions for slot in section.rows[0].slots] == [("a@50ms", "b@90ms"), ("c@50ms",)]


def test_session_costs_count_devices_and_rates() -> None:
    plan = Plan(
        backends=(
            device(placed("a@50ms", 30_000, rate=30), placed("b@50ms", rate=5)),
            device(placed("a@50ms", 20_000, rate=20), placed("b@50ms", spare=True, rate=0)),
        )
    )
    first, second = session_costs(plan)
    assert (first.session, first.devices, first.rate) == ("a@50ms", 1.25, 50)
    assert (second.session, second.devices, second.rate) == ("b@50ms", 0.25, 5)


def test_session_costs_of_a_group_are_shared_by_rate() -> None:
    plan = Plan(
        backends=(
            device(placed("a@50ms", rate=30, group="m"), placed("b@90ms", rate=10, group="m")),
        )
    )
    assert [(c.session, c.devices) for c in session_costs(plan)] == [
        ("a@50ms", 0.1875),
        ("b@90ms", 0.0625),
    ]


def test_plan_svg_of_two_hundred_devices_stays_small() -> None:
    plan = Plan(backends=tuple(device(placed(f"m{i % 9}@50ms")) for i in range(ROWS_MAX)))
    assert len(plan_svg(plan)) < 300_000


def test_svg_reading_finds_a_broken_picture() -> None:
    with pytest.raises(ET.ParseError):
        parse("<svg><g></svg>")
