"""Sampled stacks to a flame graph in SVG: the width of a box is its share of the samples. Measures nothing."""

from collections import Counter
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1400, 17
LEAST = 1.5  # pixels: narrower boxes are left out
COLOURS = {"serve/": "#e8833a", "models/": "#d9b23c", "bench/": "#9aa5b1"}
OTHER = "#7fa7c9"


def write(stacks: Counter[tuple[str, ...]], path: Path) -> None:
    """Write the graph: the outermost call on top."""
    samples = sorted(stacks.items())
    total = max(1, sum(stacks.values()))
    boxes = _boxes(samples, 0, 0, WIDTH / total)
    depth = max((level for _, level, _, _ in boxes), default=0) + 1
    box = f"0 0 {WIDTH} {depth * HEIGHT}"
    font = 'font-family="monospace" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {font}>'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *(_drawn(*box) for box in boxes), "</svg>"]), encoding="utf-8")


def _boxes(
    samples: list[tuple[tuple[str, ...], int]], level: int, left: float, scale: float
) -> list[tuple[str, int, float, float]]:
    """Name, level, left edge and width of every box, from sorted samples."""
    boxes: list[tuple[str, int, float, float]] = []
    groups: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    for stack, count in samples:
        if len(stack) > level:
            groups.setdefault(stack[level], []).append((stack, count))
    for name, group in groups.items():
        width = sum(count for _, count in group) * scale
        if width >= LEAST:
            boxes += [(name, level, left, width), *_boxes(group, level + 1, left, scale)]
        left += width
    return boxes


def _drawn(name: str, level: int, left: float, width: float) -> str:
    colour = next((colour for start, colour in COLOURS.items() if name.startswith(start)), OTHER)
    text = escape(name[: int(width / 6.7)]) if width > 30 else ""
    top = level * HEIGHT
    return (
        f'<g><title>{escape(name)} {width / WIDTH:.1%}</title><rect x="{left:.1f}" y="{top}" width="{width - 0.3:.1f}" '
        f'height="{HEIGHT - 1}" fill="{colour}"/><text x="{left + 2:.1f}" y="{top + 12}">{text}</text></g>'
    )
