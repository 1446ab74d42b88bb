"""A drill's report as one page of HTML that needs nothing else, and as JUnit XML."""

from __future__ import annotations

import datetime
from html import escape

from kvmha.drill import catalogue, comparing, drawing, timeline
from kvmha.drill.records import ABORTED, ERROR, PASSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvmha.drill.records import Outcome, Recovery

STYLE = """\
:root{color-scheme:light dark;--ink:#1d2733;--dim:#5d6b7a;--line:#dfe4ea;--paper:#fff;--card:#f4f6f8}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--dim:#9aa7b4;--line:#37424d;--paper:#161b20;--card:#20272e}}
*{box-sizing:border-box}
h1,p,.tile{overflow-wrap:anywhere}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;margin:0 auto;padding:1rem 1rem 3rem;
max-width:56rem;color:var(--ink);background:var(--paper)}
h1{font-size:1.4rem;line-height:1.25;margin:.4rem 0}h2{font-size:1.1rem;margin:2rem 0 .6rem}p{margin:.5rem 0}
.badge{display:inline-block;padding:.05rem .6rem;border-radius:1rem;color:#fff;font-size:1rem;vertical-align:.1rem}
.good{background:#2e8b57}.bad{background:#c0392b}.ill{color:#c0392b}.dim{color:var(--dim);fill:var(--dim)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:1rem 0}
.tile{background:var(--card);border-radius:.5rem;padding:.5rem .8rem}.tile b{display:block;font-size:1.25rem}
.tile span{color:var(--dim);font-size:.85rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.92rem}
td{overflow-wrap:break-word}
td,th{padding:.3rem 1rem .3rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{color:var(--dim);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
svg{display:block;overflow:visible;font-size:12px;font-variant-numeric:tabular-nums}svg text{fill:var(--ink)}
svg .dim{fill:var(--dim)}
svg .who{font-weight:600}svg .on{fill:#fff;font-weight:600}svg .late{fill:#c0392b;font-weight:600}
.grid{stroke:var(--line)}.foretold{stroke:var(--ink);stroke-width:2;stroke-dasharray:3 2}
.limit{stroke:var(--ink);stroke-width:3}
.keys{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.92rem}
.key i{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.35rem}
details{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .8rem;margin:.6rem 0}
summary{cursor:pointer;font-weight:600}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.82rem}
@media print{details>*{display:block}}
"""


def html(outcome: Outcome, before: Sequence[Outcome], journals: str = "") -> str:
    """Return the page; ``before`` are the drills that it is compared with, ``journals`` those of the nodes."""
    order = outcome.order
    title = f"Drill {order.drill} of {order.guest or order.node}"
    badge = "good" if outcome.result == PASSED else "bad"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head><body>
<p class="dim">{escape(_head(outcome))}</p>
<h1>{escape(title)} <span class="badge {badge}">{outcome.result}</span></h1>
{_paragraph(outcome.said, "ill" if outcome.result != PASSED else "")}{_tiles(outcome)}
{_breaches(outcome)}{_recoveries(outcome)}{_phases(outcome)}{_timeline(outcome)}{_history(outcome, before)}
<h2>What was done</h2><p>{escape(_done(outcome))}</p>
{_expected(outcome)}{_gates(outcome)}<h2>How it was watched</h2><p>{escape(_watched(outcome))}</p>
{_fold("Log", f"<pre>{escape(chr(10).join(outcome.log))}</pre>")}\
{_fold("Journals of the nodes", f"<pre>{escape(journals)}</pre>") if journals else ""}</body></html>
"""


def _fold(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>{body}</details>\n"


def _tiles(outcome: Outcome) -> str:
    longest = max((each for each in outcome.recoveries if each.took is not None), key=lambda each: each.took or 0.0,
                  default=None)  # fmt: skip
    tiles = [
        (f"{longest.took:.1f} s", f"longest away: {longest.name}") if longest is not None and longest.took is not None
        else ("nobody", "was away"),
        (f"{outcome.took_s:.0f} s", "from begin to end"),
        (str(len(outcome.breaches)) if outcome.breaches else "all held", "invariants" + (" broken" * bool(
            outcome.breaches))),
    ]  # fmt: skip
    tiles += [
        (f"{len(each.lost)} of {each.acknowledged}", f"acknowledged writes lost: {each.name}")
        for each in outcome.written
    ]
    body = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in tiles
    )
    return f'<div class="tiles">{body}</div>'


def _paragraph(text: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f"<p{style}>{escape(text)}</p>\n" if text else ""


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
    stalled = (
        f" The runner's machine itself stood still for {outcome.stalled_s:.1f} s, which counts as nobody's absence."
    )
    return (
        f"{outcome.looks} looks at the processes and addresses of all nodes, never more than "
        f"{outcome.longest_pause_s:.2f} s apart on a node that was there. Clocks against the runner's: {clocks}."
        f"{stalled if outcome.stalled_s else ''}"
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
    head = ("", "on", "storage ready", "start asked", "process up", "started", "guest agent", "answers",
            "client waited", "foretold", "limit")  # fmt: skip
    rows = [
        (each.name, each.node, *map(_seconds, (
            each.storage_ready, each.start_asked, each.process_up, each.started, each.guest_agent, each.answers,
            each.gap_s, each.expected_s, each.limit_s,
        )))
        for each in outcome.recoveries
    ]  # fmt: skip
    late = [each.name for each in outcome.recoveries if _is_late(each)]
    said = f'<p class="ill">Later than promised: {escape(", ".join(late))}</p>' if late else ""
    key = '<p class="dim">A dashed line is what was foretold, a whole one what was promised.</p>'
    drawn = drawing.of_recoveries(outcome.recoveries)
    figures = _fold("All times, in seconds from the fault", _table(head, rows, 9))
    return f"<h2>Who was away, and how long</h2>\n{said}{drawn}{key if drawn else ''}{figures}"


def _is_late(recovery: Recovery) -> bool:
    return recovery.limit_s is not None and recovery.took is not None and recovery.took > recovery.limit_s


def _phases(outcome: Outcome) -> str:
    times = comparing.phase_times(outcome)
    return f"<h2>Where the time went</h2>{drawing.of_phases(times)}" if times else ""


def _timeline(outcome: Outcome) -> str:
    if not outcome.moments:
        return ""
    phases = dict.fromkeys(moment.phase for moment in outcome.moments)
    rows = [(phase, timeline.SAID_BY.get(phase, "")) for phase in phases]
    who = _fold("Who tells of what", _table(("phase", "told by"), rows, 0))
    every = [(each.phase, each.subject, each.node, _seconds(each.at)) for each in outcome.moments]
    table = _fold("The same as a table", _table(("phase", "of", "on", "s"), every, 1))
    return f"<h2>Timeline</h2>\n{drawing.of_timeline(outcome.moments)}{table}{who}"


def _history(outcome: Outcome, before: Sequence[Outcome]) -> str:
    said = comparing.compared(outcome, before)
    alike = [each.recovery_s for each in comparing.alike(outcome, before) if each.recovery_s is not None]
    if not said or outcome.recovery_s is None or not alike:
        return ""
    drawn = drawing.of_history((*alike, outcome.recovery_s))
    return f"<h2>Beside the drills before it</h2>\n{_paragraph(said)}{drawn}"


def _breaches(outcome: Outcome) -> str:
    if not outcome.breaches:
        return ""
    rows = [(each.rule, each.subject, each.said) for each in outcome.breaches]
    return f'<h2 class="ill">Invariants that did not hold</h2>\n{_table(("rule", "of", "what was seen"), rows, 0)}'


def _expected(outcome: Outcome) -> str:
    found = outcome.expected
    if not found.fates and not found.said:
        return ""
    rows = [(each.name, each.how, " ".join(each.nodes) or "nowhere", _seconds(each.back_s)) for each in found.fates]
    words = "".join(f"<p>{escape(f'{said[:1].upper()}{said[1:]}.')}</p>" for said in found.said)
    table = _table(("", "what becomes of it", "where", "back after, s"), rows, 1) if rows else ""
    return f"<h2>What was foretold</h2>\n{words}{table}"


def _gates(outcome: Outcome) -> str:
    rows = [(name, "open" if is_open else "closed", said) for name, is_open, said in outcome.gates]
    closed = [name for name, is_open, _ in outcome.gates if not is_open]
    title = f"Gates: {', '.join(closed)} closed, passed by order" if closed else "Gates: all open"
    return _fold(title, _table(("gate", "", ""), rows, 0), is_open=bool(closed)) if rows else ""


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
