"""Pictures for a drill's report, as SVG that is as wide as its page.

Widths are parts of a hundred and letters have the size of the page's, so that a picture can be read on a telephone as
on a desk: only what lies between two moments grows.
"""

from __future__ import annotations

from html import escape

from kvmha.drill import timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvmha.drill.records import Moment, Recovery

COLOURS = {
    timeline.FAULT: "#c0392b", timeline.LOST: "#c0392b", timeline.DECIDED: "#d35400", timeline.ASKED: "#d35400",
    timeline.FENCED: "#b7950b", timeline.STORAGE: "#7d6608", timeline.START_ASKED: "#7d8c2f",
    timeline.PROCESS: "#4a9a4a", timeline.RUNS: "#4a9a4a", timeline.AGENT_STARTED: "#2e8b57",
    timeline.STARTED: "#2e8b57", timeline.GUEST_AGENT: "#2a8f8f", timeline.ANSWERS: "#2471a3",
    timeline.RETURNED: "#6c7a99", timeline.UNDONE: "#6c7a99",
}  # fmt: skip
OTHER = "#6c7a99"

PHASES = {"detection": "#c0392b", "decision": "#d35400", "fencing": "#b7950b", "start": "#2e8b57", "boot": "#2471a3"}
"""The colours of the parts of a failover."""

ROW, HEAD = 34, 22
SPAN = 92.0
"""Parts of a hundred that the longest time takes; the rest is for the number behind it."""

STEPS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
MOST_LINES = 6
"""Lines of time that a telephone has room for."""


def colour(phase: str) -> str:
    """Return the colour of a phase."""
    return COLOURS.get(phase, OTHER)


def short(name: str, most: int = 15) -> str:
    """Return a name as a telephone has room for it; the tables below have all of it."""
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{height:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.2f}%" y="{y:g}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def _bar(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.2f}%" y="{y:g}" width="{max(width, 0.4):.2f}%" height="{height:g}" rx="3" fill="{fill}"/>'


def _scale(end: float, height: float) -> list[str]:
    """Return the lines of time, with their seconds on top."""
    step = next((size for size in STEPS if end / size <= MOST_LINES), 1800)
    parts = []
    for number in range(int(end / step) + 1):
        x = SPAN * number * step / end
        anchor = "start" if number == 0 else "middle"
        parts.append(f'<line x1="{x:.2f}%" y1="18" x2="{x:.2f}%" y2="{height:g}" class="grid"/>')
        parts.append(_text(x, 12, f"{number * step:g} s", anchor=anchor, kind="dim"))
    return parts


def begins(moments: Sequence[Moment]) -> list[float]:
    """Return when what led to each moment began: at the one before it of the same subject, or for what comes of the
    fencing of its node, at that.
    """
    found: list[float] = []
    last: dict[str, float] = {}
    fenced = next((each.at for each in moments if each.phase == timeline.FENCED), 0.0)
    for moment in moments:
        known = last.get(moment.subject)
        found.append(known if known is not None else min(fenced, moment.at))
        last[moment.subject] = moment.at
    return found


def of_timeline(moments: Sequence[Moment]) -> str:
    """Return what happened, a row for each moment, with a bar since the one before it of the same subject."""
    end = max(*(moment.at for moment in moments), 1.0) if len(moments) > 1 else 1.0
    height = HEAD + ROW * len(moments) + 4
    parts = _scale(end, height)
    for place, (moment, since) in enumerate(zip(moments, begins(moments))):
        y = HEAD + ROW * place
        x, first = SPAN * moment.at / end, SPAN * since / end
        where = f" on {short(moment.node, 9)}" if moment.node else ""
        fill = colour(moment.phase)
        label = (
            f'<tspan class="dim">{moment.at:.2f} s</tspan> <tspan class="who">{escape(short(moment.subject))}</tspan> '
            f"{escape(moment.phase + where)}"
        )
        parts.append(f'<text x="0" y="{y + 13}">{label}</text>')
        parts.append(_bar(first, y + 19, x - first, 6, fill))
        parts.append(f'<circle cx="{x:.2f}%" cy="{y + 22}" r="5.5" fill="{fill}"/>')
    return _svg(height, "timeline", parts)


def of_phases(times: Mapping[str, float]) -> str:
    """Return where the time of a failover went, as one bar and a key to it."""
    end = sum(times.values()) or 1.0
    parts, x = [], 0.0
    for name, seconds in times.items():
        wide = 100 * seconds / end
        parts.append(f'<rect x="{x:.2f}%" y="0" width="{max(wide, 0.5):.2f}%" height="26" fill="{PHASES[name]}"/>')
        if wide >= 16:
            parts.append(_text(x + wide / 2, 18, f"{seconds:.1f} s", anchor="middle", kind="on"))
        x += wide
    said = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
    keys = "".join(
        f'<span class="key"><i style="background:{PHASES[name]}"></i>{name} {seconds:.2f} s</span>'
        for name, seconds in times.items()
    )
    return f'{_svg(26, said, parts)}<p class="keys">{keys}</p>\n'


def of_recoveries(recoveries: Sequence[Recovery]) -> str:
    """Return how long each guest and address was away, beside what was foretold and promised."""
    known = [each for each in recoveries if each.took is not None]
    values = [value for each in known for value in (each.took, each.expected_s, each.limit_s) if value is not None]
    if not values:
        return ""
    end = max(*values, 1.0) if len(values) > 1 else max(values[0], 1.0)
    parts = []
    for place, each in enumerate(known):
        y, took = 44 * place, each.took or 0.0
        is_late = each.limit_s is not None and took > each.limit_s
        words = [f"{short(each.name, 13)}: {took:.1f} s"]
        words += [f"foretold {each.expected_s:.1f}"] if each.expected_s is not None else []
        words += [f"promised {each.limit_s:g}"] if each.limit_s is not None else []
        parts.append(_text(0, y + 14, ", ".join(words), kind="late" if is_late else ""))
        parts.append(_bar(0, y + 20, SPAN * took / end, 14, "#c0392b" if is_late else "#2471a3"))
        for value, kind in ((each.expected_s, "foretold"), (each.limit_s, "limit")):
            if value is not None:
                x = SPAN * value / end
                parts.append(f'<line x1="{x:.2f}%" y1="{y + 17}" x2="{x:.2f}%" y2="{y + 37}" class="{kind}"/>')
    return _svg(44 * len(known), "recovery of each guest and address", parts)


def of_history(times: Sequence[float]) -> str:
    """Return the recovery times of drills that are alike, the oldest first, this one last."""
    most = max(*times, 0.1) if len(times) > 1 else max(times[0], 0.1)
    wide = min(100 / len(times), 9.0)
    parts = []
    for place, seconds in enumerate(times):
        height = 56 * seconds / most
        fill = "#2471a3" if place == len(times) - 1 else "#9fb4c7"
        parts.append(_bar(place * wide + 0.4, 74 - height, wide - 0.8, height, fill))
        parts.append(_text(place * wide + wide / 2, 70 - height, f"{seconds:.1f}", anchor="middle", kind="dim"))
    return _svg(78, "the last drills that are alike", parts)
