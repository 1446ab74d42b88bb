"""Memory remaining over time, of a few moves, as one picture (SVG) and as text."""

from __future__ import annotations

from html import escape

Curve = tuple[tuple[float, float], ...]
"""Seconds, and the MiB that remained."""

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
COLOURS = ("#0b6fa4", "#c0392b", "#6c8f2f", "#8e5ea2")
TEXT_WIDTH, TEXT_HEIGHT = 72, 12


def svg(curves: dict[str, Curve]) -> str:
    """Return the picture; the curves by what is said of them."""
    end = max((at for curve in curves.values() for at, _ in curve), default=0.0) or 1.0
    top = max((left for curve in curves.values() for _, left in curve), default=0.0) or 1.0
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def point(at: float, left: float) -> str:
        return f"{LEFT + at / end * width:.1f},{TOP + (1 - left / top) * height:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="M{LEFT},{TOP} V{TOP + height} H{LEFT + width}" fill="none" stroke="black"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end">{top:.0f}</text>',
        f'<text x="{LEFT - 6}" y="{TOP + height + 4}" text-anchor="end">0</text>',
        f'<text x="{LEFT}" y="{TOP - 16}" text-anchor="end">MiB</text>',
        f'<text x="{LEFT + width}" y="{TOP + height + 18}" text-anchor="end">{end:.0f} s</text>',
    ]
    for number, (said, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(point(at, left) for at, left in curve)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{LEFT + 20}" y="{TOP - 16 + 16 * number}" fill="{colour}">{escape(said)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def text(curve: Curve, title: str) -> str:
    """Return one curve in letters."""
    if not curve:
        return f"{title}: nothing was seen"
    end, top = max(at for at, _ in curve) or 1.0, max(left for _, left in curve) or 1.0
    grid = [[" "] * TEXT_WIDTH for _ in range(TEXT_HEIGHT)]
    for at, left in curve:
        column = min(int(at / end * (TEXT_WIDTH - 1)), TEXT_WIDTH - 1)
        line = TEXT_HEIGHT - 1 - min(int(left / top * (TEXT_HEIGHT - 1)), TEXT_HEIGHT - 1)
        grid[line][column] = "*"
    lines = [f"{top:6.0f} |{''.join(grid[0]).rstrip()}"]
    lines += [f"{'':6} |{''.join(line).rstrip()}" for line in grid[1:-1]]
    lines += [f"{0:6} |{''.join(grid[-1]).rstrip()}", f"{'MiB':>6} +{'-' * TEXT_WIDTH} {end:.0f} s"]
    return "\n".join([title, *lines])
