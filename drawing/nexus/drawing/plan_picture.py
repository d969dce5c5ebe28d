"""A plan as a picture: every device's duty cycle, how full it is, and what each session costs."""

from collections.abc import Iterator, Mapping, Sequence

from nexus.core.names import SessionName
from nexus.core.plan import Plan
from nexus.core.units import ms_from_us
from nexus.drawing import svg
from nexus.drawing.cost_picture import cost_bars, costs_height, costs_picture
from nexus.drawing.duty_cycle_picture import (
    CYCLE_LEFT,
    LABEL_WIDTH,
    OCCUPANCY_LEFT,
    ROW_WIDTH,
    TIMES,
    Pitch,
    row_picture,
)
from nexus.drawing.palette import area_classes, style_sheet
from nexus.drawing.plan_rows import Section, sections_of, session_costs
from nexus.drawing.svg import Box

MARGIN = 36
HEADING = 116
SECTION_HEADING = 34
SECTION_GAP = 14
LEGEND = 52
NOTES_MAX = 12
NOTE_PITCH = 19
PITCHES = {16: Pitch(38, 6, 12), 40: Pitch(25, 4, 11), 90: Pitch(16, 3, 9)}
"""How tall rows are, by how many there are at most."""
PITCH_SMALLEST = Pitch(10, 2, 7)
POOL_ORDER = "pool: batches start when they are due, in any order"


def plan_svg(plan: Plan, title: str = "Plan") -> str:
    """The whole picture as SVG text; its height follows from the plan."""
    sections, costs = sections_of(plan), session_costs(plan)
    colours = area_classes(cost.session for cost in costs)
    bars = cost_bars(plan, costs)
    parts = ["".join(_heading(plan, len(costs), title))]
    y = float(HEADING)
    pitch = _pitch(sections)
    for section in sections:
        parts.append(svg.moved(0, y, *_section(section, pitch, colours)))
        y += SECTION_HEADING + len(section.rows) * (pitch.row + pitch.gap) + SECTION_GAP
    parts.append(svg.moved(0, y, *_legend(sections)))
    parts.append(svg.moved(0, y + LEGEND, *_costs_heading()))
    parts.append(svg.moved(0, y + LEGEND + 24, costs_picture(bars, ROW_WIDTH, colours)))
    y += LEGEND + 36 + costs_height(bars)
    for note, kind in _notes(plan):
        y += NOTE_PITCH
        parts.append(svg.text(0, y, note, font_size=12, class_=kind))
    picture = svg.idle_pattern() + svg.moved(MARGIN, 0, *parts)
    return svg.document(ROW_WIDTH + 2 * MARGIN, y + 28, title, style_sheet(), picture)


def _pitch(sections: Sequence[Section]) -> Pitch:
    rows = sum(len(section.rows) for section in sections)
    return next((pitch for most, pitch in PITCHES.items() if rows <= most), PITCH_SMALLEST)


def _heading(plan: Plan, sessions: int, title: str) -> Iterator[str]:
    room = ROW_WIDTH
    yield svg.text(0, 46, svg.shortened(title, room, 22, bold=True), font_size=22, font_weight=600)
    summary = svg.shortened(_summary(plan, sessions), room, 13)
    yield svg.text(0, 70, summary, font_size=13, class_="soft")
    small = {"font_size": 11.0}
    yield svg.text(0, 104, "device", class_="faint", **small)
    yield svg.text(LABEL_WIDTH, 104, "cycle", class_="faint", text_anchor="end", **small)
    yield svg.text(CYCLE_LEFT, 104, "one duty cycle", class_="faint", **small)
    yield svg.text(OCCUPANCY_LEFT, 104, "occupancy", class_="faint", **small)


def _summary(plan: Plan, sessions: int) -> str:
    devices = ", ".join(f"{count} {device}" for device, count in plan.devices_needed.items())
    bounds = ", ".join(f"{bound:.2f} {device}" for device, bound in plan.lower_bound.items())
    busy = sum(backend.occupancy for backend in plan.backends) / max(1, len(plan.backends))
    parts = (
        f"{devices} needed" if devices else "no devices needed",
        f"lower bound {bounds}" if bounds else "",
        _counted(sessions, "session"),
        f"{busy:.0%} busy on average" if plan.backends else "",
    )
    return " · ".join(part for part in parts if part)


def _section(section: Section, pitch: Pitch, colours: Mapping[SessionName, str]) -> Iterator[str]:
    kind = f"pool {section.pool}" if section.pool else "local"
    name = svg.shortened(f"{section.device} · {kind}", ROW_WIDTH * 0.75, 12.5, bold=True)
    about = f"{_counted(section.devices, 'device')}, {section.occupancy:.0%} busy"
    yield svg.line((0, 0), (ROW_WIDTH, 0), class_="rule")
    yield svg.text(0, 20, name, font_size=12.5, font_weight=600)
    yield svg.text(ROW_WIDTH, 20, about, font_size=12, text_anchor="end", class_="soft")
    for index, row in enumerate(section.rows):
        yield row_picture(row, SECTION_HEADING + index * (pitch.row + pitch.gap), pitch, colours)


def _legend(sections: Sequence[Section]) -> Iterator[str]:
    """What the marks mean that are not written out; those that do not occur are left out."""
    yield svg.line((0, 0), (ROW_WIDTH, 0), class_="rule")
    if any(section.pool for section in sections):
        yield svg.text(ROW_WIDTH, 24, POOL_ORDER, font_size=11.5, text_anchor="end", class_="soft")
    x = 0.0
    for mark, meaning in _legend_entries(sections):
        yield svg.moved(x, 14, mark)
        yield svg.text(x + 30, 24, meaning, font_size=11.5, class_="soft")
        x += 52 + svg.text_width(meaning, 11.5)


def _legend_entries(sections: Sequence[Section]) -> Iterator[tuple[str, str]]:
    slots = [slot for section in sections for row in section.rows for slot in row.slots]
    swatch = Box(0, 0, 22, 12)
    yield svg.rectangle(swatch, rx=2, class_="a0"), f"a batch: {TIMES}size · time it takes"
    yield svg.idle(swatch), "idle"
    if any(slot.spare for slot in slots):
        yield svg.rectangle(swatch, rx=2, class_="spare"), "spare"
    if any(len(slot.sessions) > 1 for slot in slots):
        bands = (svg.rectangle(Box(0, 6 * i, 22, 6), class_=f"a{i}") for i in range(2))
        yield "".join(bands), "batched together"


def _costs_heading() -> Iterator[str]:
    subtitle = "devices' worth of execution time · planned rate"
    yield svg.text(0, 6, "Cost by session", font_size=15, font_weight=600)
    yield svg.text(150, 6, subtitle, font_size=12, class_="soft")


def _notes(plan: Plan) -> list[tuple[str, str]]:
    """Splits of queries, then what is not covered, then what cannot be served at all."""
    notes = [(_split_text(query, split), "soft") for query, split in plan.splits.items()]
    notes += [
        (f"{name}: {rate:.1f}/s are not covered and will be refused", "warn")
        for name, rate in plan.unmet.items()
    ]
    notes += [
        (f"{entry.session} cannot be served: {entry.reason}", "warn") for entry in plan.infeasible
    ]
    if len(notes) > NOTES_MAX:
        notes = [*notes[: NOTES_MAX - 1], (f"and {len(notes) - NOTES_MAX + 1} more", "soft")]
    return [(svg.shortened(note, ROW_WIDTH, 12), kind) for note, kind in notes]


def _split_text(query: str, split: Mapping[str, int]) -> str:
    budgets = ", ".join(f"{stage} {ms_from_us(us):g} ms" for stage, us in split.items())
    return f"query {query}: {budgets}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
