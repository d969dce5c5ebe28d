"""What each session costs, as horizontal bars: devices' worth of execution time, and its rate."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nexus.core.names import SessionName
from nexus.core.plan import Plan
from nexus.drawing import svg
from nexus.drawing.plan_rows import SessionCost
from nexus.drawing.svg import Box

BARS_MAX = 48
"""The dearest are shown; the rest share the last bar."""
ONE_COLUMN_MAX = 12
COLUMN_GAP = 40
PITCH = 24
FACT_WIDTH = 120


@dataclass(frozen=True, slots=True)
class CostBar:
    """``session`` is empty for what belongs to none: the rest, and idle time."""

    label: str
    devices: float
    fact: str
    session: SessionName = ""
    idle: bool = False


def cost_bars(plan: Plan, costs: Sequence[SessionCost]) -> tuple[CostBar, ...]:
    """The bars in order: sessions as given, what is left of them, idle time."""
    shown = costs if len(costs) <= BARS_MAX else costs[: BARS_MAX - 1]
    bars = [
        CostBar(
            cost.session, cost.devices, f"{cost.devices:.2f} · {cost.rate:,.0f}/s", cost.session
        )
        for cost in shown
    ]
    if len(shown) < len(costs):
        rest = sum(cost.devices for cost in costs[len(shown) :])
        bars.append(CostBar(f"{len(costs) - len(shown)} more", rest, f"{rest:.2f}"))
    if plan.backends:
        idle = sum(max(0.0, 1 - backend.occupancy) for backend in plan.backends)
        bars.append(CostBar("idle", idle, f"{idle:.2f}", idle=True))
    return tuple(bars)


def costs_height(bars: Sequence[CostBar]) -> float:
    """How tall ``costs_picture`` is."""
    return _lines(bars) * PITCH


def costs_picture(bars: Sequence[CostBar], width: float, colours: Mapping[SessionName, str]) -> str:
    """All bars, in one column or two, from (0, 0)."""
    columns = 1 if len(bars) <= ONE_COLUMN_MAX else 2
    column = (width - (columns - 1) * COLUMN_GAP) / columns
    most = max((bar.devices for bar in bars), default=0.0) or 1.0
    lines = _lines(bars)
    return "".join(
        svg.moved(
            index // lines * (column + COLUMN_GAP),
            index % lines * PITCH,
            *_bar(bar, column, most, colours),
        )
        for index, bar in enumerate(bars)
    )


def _lines(bars: Sequence[CostBar]) -> int:
    return len(bars) if len(bars) <= ONE_COLUMN_MAX else -(-len(bars) // 2)


def _bar(
    bar: CostBar, width: float, most: float, colours: Mapping[SessionName, str]
) -> Iterator[str]:
    names = min(220.0, width * 0.34)
    full = max(1.0, (width - names - FACT_WIDTH) * bar.devices / most)
    box = Box(names, 2, full, 13)
    fill = (
        svg.idle(box)
        if bar.idle
        else svg.rectangle(box, rx=2, class_=colours.get(bar.session, "bar"))
    )
    yield svg.text(0, 12, svg.shortened(bar.label, names - 12, 12), font_size=12)
    yield svg.titled(f"{bar.label}: {bar.devices:.3f} devices", fill)
    yield svg.text(names + full + 9, 12, bar.fact, font_size=12, class_="soft")
