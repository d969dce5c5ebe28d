"""A simulation as a picture: was every second of every session good, in which batches, how busy.

Three parts: requests per second and session, good and bad on top of one another; how large the
batches of each session were; and a strip a device, darker where it was busier. Where there are more
sessions or devices than fit, the worst sessions are shown, and neighbouring devices share a strip.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nexus.core.names import BackendName, SessionName
from nexus.drawing import svg
from nexus.drawing.axis import number_text
from nexus.drawing.palette import style_sheet
from nexus.drawing.svg import Box

WIDTH, MARGIN = 1048, 36
PANELS_MAX, PANEL_HEIGHT, PANEL_PITCH = 8, 84, 138
PANEL_GAP = 48
HISTOGRAMS_MAX, HISTOGRAM_PITCH = 16, 20
STRIPS_MAX = 64
STRIP_HEIGHT_MAX, STRIPS_HEIGHT_MAX = 16, 480
NAMES = 200
FIGURES = 90
SHADES = 10
BATCH_CELLS_MAX = 64


@dataclass(frozen=True, slots=True)
class SecondsOfSession:
    """Requests of a session or query that were sent in each second, and those of them in time."""

    name: str
    offered: tuple[int, ...]
    good: tuple[int, ...]

    @property
    def good_share(self) -> float:
        """The share of all that was good; 1 when none was offered."""
        return sum(self.good) / sum(self.offered) if any(self.offered) else 1.0


@dataclass(frozen=True, slots=True)
class SecondsOfDevice:
    """The share of each second in which a device was busy."""

    name: BackendName
    busy: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The share of the whole time."""
        return sum(self.busy) / len(self.busy) if self.busy else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationPicture:
    """``batches`` says how often each session was executed in batches of each size."""

    title: str
    subtitle: str = ""
    sessions: tuple[SecondsOfSession, ...]
    batches: Mapping[SessionName, Mapping[int, int]]
    devices: tuple[SecondsOfDevice, ...]


def simulation_svg(given: SimulationPicture) -> str:
    """The whole picture as SVG text."""
    parts = ["".join(_heading(given))]
    y = 104.0
    for height, drawn in (_panels(given), _histograms(given), _strips(given)):
        parts.append(svg.moved(0, y, drawn))
        y += height
    picture = svg.moved(MARGIN, 0, *parts)
    return svg.document(WIDTH + 2 * MARGIN, y + 8, given.title, style_sheet(), picture)


def _heading(given: SimulationPicture) -> Iterator[str]:
    title = svg.shortened(given.title, WIDTH, 22, bold=True)
    yield svg.text(0, 46, title, font_size=22, font_weight=600)
    yield svg.text(0, 70, svg.shortened(given.subtitle, WIDTH, 13), font_size=13, class_="soft")


def _part_heading(title: str, about: str) -> str:
    beside = svg.text_width(title, 15, bold=True) + 12
    return svg.text(0, 0, title, font_size=15, font_weight=600) + svg.text(
        beside, 0, about, font_size=12, class_="soft"
    )


def _panels(given: SimulationPicture) -> tuple[float, str]:
    shown = given.sessions
    about = "good and bad, by the second in which they were sent"
    if len(shown) > PANELS_MAX:
        shown = tuple(sorted(shown, key=lambda s: (s.good_share, s.name))[:PANELS_MAX])
        about = f"the {PANELS_MAX} worst of {len(given.sessions)} sessions"
    width = (WIDTH - PANEL_GAP) / 2
    parts = [_part_heading("Requests per second", about), *_good_bad_legend()]
    for index, session in enumerate(shown):
        x, y = index % 2 * (width + PANEL_GAP), 34 + index // 2 * PANEL_PITCH
        parts.append(svg.moved(x, y, *_panel(session, width)))
    return 40 + -(-len(shown) // 2) * PANEL_PITCH, "".join(parts)


def _good_bad_legend() -> Iterator[str]:
    for x, kind in ((WIDTH - 116, "good"), (WIDTH - 52, "bad")):
        yield svg.rectangle(Box(x, -10, 14, 11), rx=2, class_=kind)
        yield svg.text(x + 20, 0, kind, font_size=12)


def _panel(session: SecondsOfSession, width: float) -> Iterator[str]:
    most = max(session.offered, default=0) or 1
    name = svg.shortened(session.name, width * 0.6, 12.5, bold=True)
    yield svg.text(0, 0, name, font_size=12.5, font_weight=600)
    kind = "soft" if session.good_share >= 0.99 else "warn"  # noqa: PLR2004 - the promise
    about = f"{100 * session.good_share:.2f} % good"
    yield svg.text(width, 0, about, font_size=12, text_anchor="end", class_=kind)
    left, top, base = 40.0, 12.0, 12.0 + PANEL_HEIGHT
    yield svg.line((left, top), (width, top), class_="rule")
    yield svg.line((left, base), (width, base), class_="axis")
    for value, y in ((most, top), (0, base)):
        yield svg.text(
            left - 6, y + 4, number_text(value), font_size=10, text_anchor="end", class_="soft"
        )
    step = (width - left) / max(1, len(session.offered))
    for second, (offered, good) in enumerate(zip(session.offered, session.good, strict=True)):
        if offered:
            column = Box(left + second * step, top, step, PANEL_HEIGHT)
            yield _second(second, offered, good, column, PANEL_HEIGHT / most)
    yield from _seconds_axis(len(session.offered), left, width, base)


def _second(second: int, offered: int, good: int, column: Box, scale: float) -> str:
    """One second's requests: the good below, the bad on top of them."""
    gap = min(1.0, column.width / 5)
    base, width = column.y + column.height, column.width - gap
    middle = base - good * scale
    boxes = [svg.rectangle(Box(column.x, middle, width, good * scale), class_="good")]
    bad = (offered - good) * scale
    if bad > 0:
        boxes.append(svg.rectangle(Box(column.x, middle - bad, width, bad), class_="bad"))
    return svg.titled(f"second {second}: {good} of {offered} good", *boxes)


def _seconds_axis(seconds: int, left: float, right: float, base: float) -> Iterator[str]:
    small: dict[str, str | float] = {"font_size": 10.0, "class_": "soft"}
    yield svg.text(left, base + 14, "0 s", **small)
    yield svg.text(right, base + 14, f"{seconds} s", text_anchor="end", **small)


def _histograms(given: SimulationPicture) -> tuple[float, str]:
    ran = {name: sizes for name, sizes in given.batches.items() if any(sizes.values())}
    largest = max((max(sizes) for sizes in ran.values()), default=1)
    cells = min(largest, BATCH_CELLS_MAX)
    names = sorted(ran, key=lambda name: (-_items(ran[name]), name))[:HISTOGRAMS_MAX]
    about = "share of the items by the size of their batch, and the mean batch"
    if len(ran) > len(names):
        about = f"{about}; the {len(names)} largest of {len(ran)} sessions"
    parts = [_part_heading("Batches", about)]
    for index, name in enumerate(names):
        shares = _shares(ran[name], largest, cells)
        mean = _items(ran[name]) / sum(ran[name].values())
        y = 18.0 + index * HISTOGRAM_PITCH
        parts += _heat_row(name, shares, f"{mean:.1f}", Box(NAMES, y, 0, HISTOGRAM_PITCH - 4))
    base = 14.0 + len(names) * HISTOGRAM_PITCH
    small: dict[str, str | float] = {"font_size": 10.0, "class_": "soft"}
    parts.append(svg.text(NAMES, base + 16, "1", **small))
    end = WIDTH - FIGURES
    parts.append(svg.text(end, base + 16, f"batch {largest}", text_anchor="end", **small))
    return base + 56, "".join(parts)


def _items(sizes: Mapping[int, int]) -> int:
    return sum(size * count for size, count in sizes.items())


def _shares(sizes: Mapping[int, int], largest: int, cells: int) -> list[float]:
    """The share of a session's items in each cell of batch sizes, relative to the fullest cell."""
    items = [0] * cells
    for size, count in sizes.items():
        items[min(cells - 1, (size - 1) * cells // largest)] += size * count
    most = max(items) or 1
    return [value / most for value in items]


def _strips(given: SimulationPicture) -> tuple[float, str]:
    devices = _strips_of(given.devices)
    height = min(STRIP_HEIGHT_MAX, STRIPS_HEIGHT_MAX / max(1, len(devices)))
    about = "how busy each was in every second, and on average"
    parts = [_part_heading("Devices", about)]
    for index, device in enumerate(devices):
        box = Box(NAMES, 18 + index * height, 0, max(1.0, height - (2 if height > 4 else 0.5)))  # noqa: PLR2004 - px
        parts += _heat_row(device.name, device.busy, f"{device.mean:.0%}", box)
    base = 18 + len(devices) * height
    seconds = max((len(device.busy) for device in devices), default=0)
    parts += _seconds_axis(seconds, NAMES, WIDTH - FIGURES, base)
    return base + 40, "".join(parts)


def _strips_of(devices: Sequence[SecondsOfDevice]) -> list[SecondsOfDevice]:
    """The devices, or groups of neighbours where there are too many."""
    size = -(-len(devices) // STRIPS_MAX)
    if size <= 1:
        return list(devices)
    groups = [devices[start : start + size] for start in range(0, len(devices), size)]
    return [
        SecondsOfDevice(
            f"{group[0].name} … {group[-1].name}",
            tuple(
                sum(shares) / len(group)
                for shares in zip(*(device.busy for device in group), strict=True)
            ),
        )
        for group in groups
    ]


def _heat_row(name: str, shares: Sequence[float], figure: str, box: Box) -> Iterator[str]:
    """A name, a strip of cells in ``SHADES`` shades of their share, and a figure."""
    size = min(12.0, box.height * 0.9)
    base = box.y + box.height / 2 + size * 0.36
    width = WIDTH - FIGURES - box.x
    yield svg.text(0, base, svg.shortened(name, NAMES - 12, size), font_size=size)
    yield svg.text(WIDTH, base, figure, font_size=size, text_anchor="end", class_="soft")
    yield svg.rectangle(Box(box.x, box.y, width, box.height), class_="track")
    step = width / max(1, len(shares))
    for begin, end, shade in _runs(shares):
        cell = Box(box.x + begin * step, box.y, (end - begin) * step, box.height)
        yield svg.rectangle(cell, class_="heat", fill_opacity=shade / SHADES)


def _runs(shares: Sequence[float]) -> Iterator[tuple[int, int, int]]:
    """Neighbouring cells of one shade together: (begin, end, shade), empty shades left out."""
    shades = [max(0, min(SHADES, round(share * SHADES))) for share in shares]
    begin = 0
    for index in range(1, len(shades) + 1):
        if index == len(shades) or shades[index] != shades[begin]:
            if shades[begin]:
                yield begin, index, shades[begin]
            begin = index
