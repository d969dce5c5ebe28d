"""A simulation's picture: every second of every session, every batch size, every device."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.drawing.simulation_picture import (
    PANELS_MAX,
    STRIPS_MAX,
    SecondsOfDevice,
    SecondsOfSession,
    SimulationPicture,
    simulation_svg,
)
from tests.drawing.svg_reading import contents, extent, shapes, size_of, texts

names = st.text(max_size=30)
seconds = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=20)


def session(name: str, counts: list[tuple[int, int]]) -> SecondsOfSession:
    offered = tuple(good + bad for good, bad in counts)
    return SecondsOfSession(name, offered, tuple(good for good, _ in counts))


pictures = st.builds(
    SimulationPicture,
    title=names,
    sessions=st.lists(st.builds(session, names, seconds), max_size=12).map(tuple),
    batches=st.dictionaries(names, st.dictionaries(st.integers(1, 300), st.integers(0, 99))),
    devices=st.integers(0, 9).flatmap(
        lambda length: st.lists(
            st.builds(
                SecondsOfDevice,
                names,
                st.lists(st.floats(0, 1), min_size=length, max_size=length).map(tuple),
            ),
            max_size=150,
        ).map(tuple)
    ),
)


@settings(max_examples=25)
@given(pictures)
def test_simulation_svg_is_well_formed_and_inside_the_page(given_: SimulationPicture) -> None:
    picture = simulation_svg(given_)
    width, height = size_of(picture)
    assert all(s.x >= 0 and s.x + s.width <= width + 0.01 for s in shapes(picture))
    assert all(s.y + s.height <= height for s in shapes(picture))
    assert all(extent(w)[0] >= 0 and extent(w)[1] <= width for w in texts(picture))


def test_simulation_svg_good_and_bad_are_in_proportion() -> None:
    picture = simulation_svg(
        SimulationPicture(
            title="t",
            sessions=(session("a@50ms", [(30, 10), (40, 0)]),),
            batches={"a@50ms": {4: 10, 8: 5}},
            devices=(SecondsOfDevice("v100-0", (0.5, 1.0)),),
        )
    )
    good, bad = (
        [s.height for s in shapes(picture) if s.kind == kind and s.tooltip]
        for kind in ("good", "bad")
    )
    assert len(bad) == 1
    assert good[0] == pytest.approx(3 * bad[0], abs=0.02)
    assert good[0] + bad[0] == pytest.approx(good[1], abs=0.02)
    found = contents(picture)
    for expected in ("87.50 % good", "second 0: 30 of 40 good", "5.3", "75%", "v100-0"):
        assert expected in found, expected


def test_simulation_svg_shows_the_worst_of_many_sessions() -> None:
    many = tuple(session(f"s{i:02}", [(100 - i, i)]) for i in range(PANELS_MAX + 4))
    found = contents(
        simulation_svg(SimulationPicture(title="t", sessions=many, batches={}, devices=()))
    )
    assert "s11" in found
    assert "s03" not in found
    assert f"the {PANELS_MAX} worst of {len(many)} sessions" in found


def test_simulation_svg_many_devices_share_strips() -> None:
    many = tuple(SecondsOfDevice(f"d{i}", (0.0, 1.0)) for i in range(1_000))
    picture = simulation_svg(SimulationPicture(title="t", sessions=(), batches={}, devices=many))
    strips = [s for s in shapes(picture) if s.kind == "track"]
    assert len(strips) <= STRIPS_MAX
    assert "d0 … d15" in contents(picture)
    assert size_of(picture)[1] < 1_000
