"""Charts as inline SVG: no script, no request, colours by CSS so that they follow light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A phone shows this width one to one; text stays readable.
WIDTH = 400
LABELS = 138
ROW = 22
SHORT = 18


def svg(height: float, alt: str, parts: Iterable[str]) -> str:
    """Return a drawing with the text that stands for it."""
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img"><title>{escape(alt)}</title>{body}</svg>'


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Return a text; `kind` is its CSS class, such as `end`."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" class="{kind}"/>'


def short(words: str) -> str:
    """Return a label that fits beside the bars."""
    return words if len(words) <= SHORT else f"{words[: SHORT - 1].rstrip()}…"


def number(value: float) -> str:
    """Return a number as people write it."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.1f}"  # noqa: PLR2004


def round_up(value: float) -> float:
    """Return the next number that is good for the end of an axis: 1, 2, 4, 5 or 10 times a power of ten."""
    power = 10.0 ** (len(str(int(max(value, 1)))) - 1)
    return next(power * step for step in (1, 2, 4, 5, 10) if power * step >= value)


def bars(rows: Sequence[tuple[str, Sequence[float]]], alt: str) -> str:
    """Return horizontal bars, each of one part or several behind each other."""
    most = max((sum(values) for _, values in rows), default=0) or 1
    room = WIDTH - LABELS - 44
    parts = []
    for place, (label, values) in enumerate(rows):
        y, x = place * ROW, float(LABELS)
        parts.append(text(LABELS - 8, y + 15, short(label), "end"))
        for part, value in enumerate(values, 1):
            width = room * value / most
            parts.append(rect(x, y + 3, width, ROW - 7, f"c{part}"))
            x += width
        parts.append(text(x + 5, y + 15, number(sum(values)), "value"))
    return svg(len(rows) * ROW + 4, alt, parts)


def columns(rows: Sequence[tuple[str, Sequence[float]]], alt: str) -> str:
    """Return groups of upright columns over time, with a label at the first, the middle and the last group."""
    height, top, left = 150, 14, 38
    most = round_up(max((value for _, values in rows for value in values), default=0))
    step = (WIDTH - left) / max(len(rows), 1)
    parts = grid(most, height, top, left)
    for place, (_, values) in enumerate(rows):
        width = step * 0.8 / len(values)
        for part, value in enumerate(values):
            size = height * value / most
            parts.append(rect(left + place * step + part * width, top + height - size, width - 1, size, f"c{part + 1}"))
    parts += dates([label for label, _ in rows], left, step, top + height + 16)
    return svg(top + height + 24, alt, parts)


def line(rows: Sequence[tuple[str, float]], alt: str) -> str:
    """Return a line over time that begins at zero."""
    height, top, left = 110, 14, 38
    most = round_up(max((value for _, value in rows), default=0))
    step = (WIDTH - left - 12) / max(len(rows) - 1, 1)
    points = [(left + place * step, top + height * (1 - value / most)) for place, (_, value) in enumerate(rows)]
    parts = grid(most, height, top, left)
    parts.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
    parts += dates([label for label, _ in rows], left, step, top + height + 16)
    if rows:
        x, y = points[-1]
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="c1"/>',
            text(x, y - 7, number(rows[-1][1]), "end value"),
        ]
    return svg(top + height + 24, alt, parts)


def dates(labels: Sequence[str], left: float, step: float, y: float) -> list[str]:
    """Return the first, the middle and the last label of an axis of time."""
    last = len(labels) - 1
    ends = {0: ("start", left), last // 2: ("middle", left + (last // 2 + 0.4) * step), last: ("end", float(WIDTH))}
    return [text(x, y, labels[place], f"{kind} small") for place, (kind, x) in ends.items() if labels]


def grid(most: float, height: float, top: float, left: float) -> list[str]:
    """Return lines at nothing, half and all of an axis, with their numbers."""
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = top + height * (1 - share)
        parts += [
            f'<line x1="{left}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>',
            text(left - 5, y + 4, number(most * share), "end small"),
        ]
    return parts


def ranges(rows: Sequence[tuple[str, float, float, float]], alt: str) -> str:
    """Return a bar from the first to the third quartile each, with a mark at the median."""
    most = max((high for *_, high in rows), default=0) or 1
    room = WIDTH - LABELS - 44
    parts = []
    for place, (label, low, middle, high) in enumerate(rows):
        y = place * ROW
        at = [LABELS + room * value / most for value in (low, middle, high)]
        parts += [
            text(LABELS - 8, y + 15, short(label), "end"),
            rect(at[0], y + 6, max(at[2] - at[0], 2), ROW - 13, "c2"),
            rect(at[1] - 2, y + 2, 4, ROW - 5, "c1"),
            text(max(at) + 6, y + 15, number(middle), "value"),
        ]
    return svg(len(rows) * ROW + 4, alt, parts)


def flow(rows: Sequence[tuple[str, str, int]], alt: str) -> str:
    """Return ribbons from the sections on the left to those on the right, as wide as tasks were moved."""
    gap, left, right = 10.0, 118.0, WIDTH - 118.0
    total = sum(count for *_, count in rows) or 1
    sides = [sorted({start for start, _, _ in rows}), sorted({end for _, end, _ in rows})]
    scale = max(160.0, 26.0 * max(map(len, sides), default=0)) / total
    parts: list[str] = []
    tops: list[dict[str, float]] = [{}, {}]
    height = 0.0
    for side, names in enumerate(sides):
        y = 4.0
        for name in names:
            size = max(scale * sum(count for *ends, count in rows if ends[side] == name), 2)
            tops[side][name] = y
            x = (left - 6, right)[side]
            parts.append(rect(x, y, 6, size, f"c{side + 1}"))
            parts.append(
                text((left - 12, right + 12)[side], y + size / 2 + 4, short(name)[:16], ("end", "start")[side])
            )
            y += size + gap
        height = max(height, y)
    ribbons = []
    for start, end, count in sorted(rows):
        size, middle = scale * count, (left + right) / 2
        y1, y2 = tops[0][start], tops[1][end]
        tops[0][start] += size
        tops[1][end] += size
        ribbons.append(
            f'<path class="ribbon" d="M{left},{y1:.1f}C{middle},{y1:.1f} {middle},{y2:.1f} {right},{y2:.1f}'
            f'v{size:.1f}C{middle},{y2 + size:.1f} {middle},{y1 + size:.1f} {left},{y1 + size:.1f}z"/>'
        )
    return svg(height, alt, [*ribbons, *parts])
