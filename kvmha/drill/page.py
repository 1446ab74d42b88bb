"""A drill's report as one page of HTML that needs nothing else, and as JUnit XML."""

from __future__ import annotations

import datetime
from html import escape

from kvmha.drill import catalogue, comparing, timeline
from kvmha.drill.records import ABORTED, ERROR, PASSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvmha.drill.records import Outcome, Recovery

COLOURS = {
    timeline.FAULT: "#8a1c1c", timeline.LOST: "#b03030", timeline.ASKED: "#c06010", timeline.FENCED: "#c08a10",
    timeline.START_ASKED: "#5a7d2f", timeline.PROCESS: "#3c8a4a", timeline.STARTED: "#2f7d32",
    timeline.ANSWERS: "#1f6f8b", timeline.RETURNED: "#506080",
}  # fmt: skip
PHASE_COLOURS = {"detection": "#b03030", "decision": "#c06010", "fencing": "#c08a10", "start": "#2f7d32"}

STYLE = """\
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:60rem;color:#222;background:#fff}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
.passed{color:#2f7d32}.bad{color:#b03030}.scroll{overflow-x:auto}
table{border-collapse:collapse}td,th{padding:.2rem .7rem .2rem 0;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
svg{max-width:100%;height:auto;display:block}pre{white-space:pre-wrap;font-size:.85rem}
"""

WIDTH, LEFT, ROW, TOP = 760, 240, 24, 26


def html(outcome: Outcome, before: Sequence[Outcome]) -> str:
    """Return the page; ``before`` are the drills that it is compared with."""
    order = outcome.order
    target = order.guest or order.node
    title = f"Drill {order.drill} of {target}"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{escape(title)}: <span class="{"passed" if outcome.result == PASSED else "bad"}">{outcome.result}</span></h1>
<p>{escape(_head(outcome))}</p>
{_paragraph(outcome.said)}{_paragraph(comparing.compared(outcome, before))}
<h2>What was done</h2><p>{escape(_done(outcome))}</p>
{_recoveries(outcome)}{_phases(outcome)}{_timeline(outcome)}{_breaches(outcome)}{_expected(outcome)}{_gates(outcome)}
<h2>How it was watched</h2><p>{escape(_watched(outcome))}</p>
<details><summary>Log</summary><pre>{escape(chr(10).join(outcome.log))}</pre></details>
</body></html>
"""


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>\n" if text else ""


def _head(outcome: Outcome) -> str:
    when = datetime.datetime.fromtimestamp(outcome.begun_at, datetime.timezone.utc)
    cluster = f"cluster {outcome.cluster}, " if outcome.cluster else ""
    return f"{cluster}{when:%Y-%m-%d %H:%M:%S} UTC, {outcome.took_s:.0f} s, kvmha {outcome.version}, {outcome.id}"


def _done(outcome: Outcome) -> str:
    drill = catalogue.find(outcome.order.drill)
    hold = f" It lasted {outcome.order.hold_s:g} s at most." if outcome.order.hold_s else ""
    link = f" Link {outcome.order.link}." if outcome.order.link else ""
    return f"{drill.said[0].upper()}{drill.said[1:]}.{link}{hold} Undone: {drill.undone}."


def _watched(outcome: Outcome) -> str:
    clocks = ", ".join(f"{node} {value * 1000:+.0f} ms" for node, value in sorted(outcome.offsets.items()))
    return (
        f"{outcome.looks} looks at the processes and addresses of all nodes, never more than "
        f"{outcome.longest_pause_s:.2f} s apart on a node that was there. Clocks against the runner's: {clocks}."
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """Return a table whose last so many columns are numbers."""

    def row(cells: Sequence[str], tag: str) -> str:
        first = len(cells) - numbers
        words = [f'<{tag}{" class=n" if place >= first else ""}>{escape(cell)}</{tag}>'
                 for place, cell in enumerate(cells)]  # fmt: skip
        return f"<tr>{''.join(words)}</tr>\n"

    return f'<div class="scroll"><table>{row(head, "th")}{"".join(row(each, "td") for each in rows)}</table></div>\n'


def _recoveries(outcome: Outcome) -> str:
    if not outcome.recoveries:
        return ""
    head = ("", "on", "start asked", "process up", "started", "answers", "client waited", "foretold", "limit")
    rows = [
        (each.name, each.node, *map(_seconds, (each.start_asked, each.process_up, each.started, each.answers,
                                               each.gap_s, each.expected_s, each.limit_s)))
        for each in outcome.recoveries
    ]  # fmt: skip
    late = [each.name for each in outcome.recoveries if _is_late(each)]
    said = f'<p class="bad">Later than promised: {escape(", ".join(late))}</p>' if late else ""
    return f"<h2>Recovery, seconds from the fault</h2>\n{_table(head, rows, 7)}{said}"


def _is_late(recovery: Recovery) -> bool:
    return recovery.limit_s is not None and recovery.took is not None and recovery.took > recovery.limit_s


def _phases(outcome: Outcome) -> str:
    times = comparing.phase_times(outcome)
    if not times:
        return ""
    end = sum(times.values()) or 1.0
    parts, x = [], 0.0
    for name, seconds in times.items():
        wide = WIDTH * seconds / end
        parts.append(f'<rect x="{x:.1f}" y="0" width="{max(wide, 1):.1f}" height="22" fill="{PHASE_COLOURS[name]}"/>')
        x += wide
    key = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
    drawn = f'<svg viewBox="0 0 {WIDTH} 22" role="img" aria-label="{escape(key)}">{"".join(parts)}</svg>'
    keys = "".join(
        f'<span style="color:{PHASE_COLOURS[name]}">&#9632;</span> {name} {seconds:.2f} s &nbsp; '
        for name, seconds in times.items()
    )
    return f"<h2>Where the time went</h2>{drawn}<p>{keys}</p>\n"


def _timeline(outcome: Outcome) -> str:
    if not outcome.moments:
        return ""
    return f'<h2>Timeline</h2><div class="scroll">{svg(outcome)}</div>\n'


def svg(outcome: Outcome) -> str:
    """Return what happened as a picture: a row for each moment, at its time."""
    end = max(max(moment.at for moment in outcome.moments), 1.0)
    step = next((size for size in (0.5, 1, 2, 5, 10, 30, 60, 120) if end / size <= 10), 300)
    bottom = TOP + ROW * len(outcome.moments)
    scale = (WIDTH - LEFT - 70) / end
    parts = []
    for number in range(int(end / step) + 1):
        x = LEFT + number * step * scale
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="14" font-size="11" text-anchor="middle">{number * step:g} s</text>')
    for place, moment in enumerate(outcome.moments):
        y = TOP + ROW * place
        x = LEFT + moment.at * scale
        where = f" on {moment.node}" if moment.node else ""
        colour = COLOURS.get(moment.phase, "#506080")
        label = escape(f"{moment.phase} {moment.subject}{where}")
        parts.append(f'<text x="0" y="{y + 15}" font-size="12">{label}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y + 9}" width="{max(x - LEFT, 0):.1f}" height="3" fill="{colour}"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y + 10.5}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{x + 9:.1f}" y="{y + 15}" font-size="12">{moment.at:.2f}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 6}" width="{WIDTH}" '
        f'font-family="sans-serif" role="img" aria-label="timeline">{"".join(parts)}</svg>'
    )


def _breaches(outcome: Outcome) -> str:
    if not outcome.breaches:
        return "<h2>Invariants</h2><p>All held, during the drill and after it.</p>\n"
    rows = [(each.rule, each.subject, each.said) for each in outcome.breaches]
    return f'<h2 class="bad">Invariants that did not hold</h2>\n{_table(("rule", "of", "what was seen"), rows, 0)}'


def _expected(outcome: Outcome) -> str:
    found = outcome.expected
    if not found.fates and not found.said:
        return ""
    rows = [(each.name, each.how, " ".join(each.nodes) or "nowhere", _seconds(each.back_s)) for each in found.fates]
    words = "".join(f"<p>{escape(said)}</p>" for said in found.said)
    table = _table(("", "what becomes of it", "where", "back after"), rows, 1) if rows else ""
    return f"<h2>What was foretold</h2>\n{words}{table}"


def _gates(outcome: Outcome) -> str:
    rows = [(name, "open" if is_open else "closed, passed by order", said) for name, is_open, said in outcome.gates]
    return f"<h2>Gates</h2>\n{_table(('gate', '', ''), rows, 0)}" if rows else ""


def junit(outcome: Outcome) -> str:
    """Return the drill as JUnit XML: a case for its course, one for its invariants, one for each promised limit."""
    order = outcome.order
    name = f"{order.drill} {order.guest or order.node}"
    cases = [_case(name, "course", outcome.said if outcome.result not in (PASSED, "broken") else "",
                   outcome.took_s, is_error=outcome.result in (ABORTED, ERROR))]  # fmt: skip
    cases.append(_case(name, "invariants", "; ".join(each.said for each in outcome.breaches), 0.0))
    for each in outcome.recoveries:
        if each.limit_s is not None and each.took is not None:
            said = f"back after {each.took:.1f} s, promised {each.limit_s:g} s" if _is_late(each) else ""
            cases.append(_case(name, f"recovery of {each.name}", said, each.took))
    failures = sum("<failure" in case for case in cases)
    errors = sum("<error" in case for case in cases)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="kvmha drill" tests="{len(cases)}" '
        f'failures="{failures}" errors="{errors}" time="{outcome.took_s:.1f}">\n{"".join(cases)}</testsuite>\n'
    )


def _case(of: str, name: str, said: str, seconds: float, *, is_error: bool = False) -> str:
    head = f'  <testcase classname="{escape(of)}" name="{escape(name)}" time="{seconds:.2f}"'
    if not said:
        return f"{head}/>\n"
    word = "error" if is_error else "failure"
    return f'{head}><{word} message="{escape(said)}"/></testcase>\n'
