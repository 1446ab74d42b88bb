"""A timeline as a picture (SVG): a row for each thing that happens, a bar from its usual begin to its usual end."""

from __future__ import annotations

from xml.sax.saxutils import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.timeline import Moment
    from kvmha.policy.whatif import Answer, Phase

ROW, LEFT, WIDTH, TOP = 22, 260, 620, 46
COLOURS = {"lost": "#b03030", "fence": "#c06010", "start": "#2f7d32", "stop": "#707070", "move away": "#2060a0"}


def svg(answer: Answer) -> str:
    """Return the picture of an answer, its phases below each other."""
    parts, height = [], 0
    for phase in answer.phases:
        drawn, taken = _phase(phase, height)
        parts.append(drawn)
        height += taken
    width = LEFT + WIDTH + 80
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n{"".join(parts)}</svg>\n'
    )


def _phase(phase: Phase, top: int) -> tuple[str, int]:
    shown = [moment for moment in phase.moments if moment.begins is not None]
    never = [moment for moment in phase.moments if moment.begins is None]
    end = max((moment.ends.usual_s for moment in shown if moment.ends is not None), default=1.0) or 1.0
    out = [_text(10, top + 22, f"what if: {', '.join(phase.events)}", weight="bold")]
    bottom = top + TOP + ROW * (len(shown) + len(never))
    step = next((size for size in (0.5, 1, 2, 5, 10, 30, 60, 120, 600) if end / size <= 10), 1800)
    for number in range(int(end / step) + 1):
        x = LEFT + WIDTH * number * step / end
        out.append(f'<line x1="{x:.1f}" y1="{top + 34}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>\n')
        out.append(_text(x - 8, top + 32, f"{number * step:g} s", size=11))
    for place, moment in enumerate((*shown, *never)):
        out.append(_row(moment, top + TOP + ROW * place, end))
    return "".join(out), bottom - top + 24


def _row(moment: Moment, y: int, end: float) -> str:
    where = f" on {moment.node}" if moment.node else ""
    label = _text(10, y + 15, f"{moment.what} {moment.subject}{where}")
    if moment.begins is None or moment.ends is None:
        return label + _text(LEFT, y + 15, "never", colour="#b03030")
    begin, last = moment.begins.usual_s, moment.ends.usual_s
    x, wide = LEFT + WIDTH * begin / end, max(WIDTH * (last - begin) / end, 3)
    colour = COLOURS.get(moment.what, "#506080")
    bar = f'<rect x="{x:.1f}" y="{y + 4}" width="{wide:.1f}" height="{ROW - 8}" fill="{colour}"/>\n'
    return label + bar + _text(x + wide + 4, y + 15, f"{last:.1f}", size=11)


def _text(x: float, y: float, words: str, *, weight: str = "normal", size: int = 13, colour: str = "#202020") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" font-size="{size}" fill="{colour}">'
        f"{escape(words)}</text>\n"
    )
