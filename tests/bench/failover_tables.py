"""What the bench of failovers prints, and the arithmetic of it."""

from __future__ import annotations

import sys

from kvmha.record import Record
from tests.bench.failover_setups import DEFAULTS, OURS, SETUPS
from tests.bench.speed import Aim, median
from tests.bench.tables import WIDTH, aim_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.bench.failover import Result
    from tests.bench.power_cut import PowerCut

MOST_AFTER_LOST = 1.2
"""Seconds from the loss of a node to the answer of its guest, without the guest's own boot."""
MOST_OF_DEFAULTS = 0.4
"""Share of the time that pcs's defaults take, from the cut to the guest's new QEMU process."""

PHASES = (
    ("noticed", "token missed"),
    ("lost", "lost"),
    ("fenced", "fenced"),
    ("started", "QEMU runs"),
    ("answers", "answers"),
    ("address", "address answers"),
    ("after_lost", "lost to QEMU"),
    ("boot", "guest's own boot"),
)


class Summary(Record):
    """The middle and the worst of all runs of one setup, in seconds; None where a phase was never seen."""

    key: str
    runs: int
    medians: dict[str, float | None]
    most: dict[str, float | None]


def summaries(cuts: dict[str, tuple[PowerCut, ...]]) -> tuple[Summary, ...]:
    """Return the summary of each setup."""
    found = []
    for key, runs in cuts.items():
        values = {name: [v for v in (getattr(cut, name) for cut in runs) if v is not None] for name, _ in PHASES}
        found.append(
            Summary(
                key=key,
                runs=len(runs),
                medians={name: median(seen) if seen else None for name, seen in values.items()},
                most={name: max(seen) if seen else None for name, seen in values.items()},
            )
        )
    return tuple(found)


def aims(found: tuple[Summary, ...]) -> tuple[Aim, ...]:
    """Return what was aimed at, as far as the setups for it were run."""
    by_key = {one.key: one.medians for one in found}
    ours, defaults = by_key.get(OURS.key, {}), by_key.get(DEFAULTS.key, {})
    made = []
    after, whole, theirs = ours.get("after_lost"), ours.get("started"), defaults.get("started")
    if after is not None:
        made.append(_at_most("lost to answering less the guest's own boot, seconds, at most", MOST_AFTER_LOST, after))
    if whole is not None and theirs:
        what = "the whole less the guest's own boot, share of pcs's defaults, at most"
        made.append(_at_most(what, MOST_OF_DEFAULTS, whole / theirs))
    return tuple(made)


def _at_most(what: str, aim: float, measured: float) -> Aim:
    return Aim(what=what, aim=aim, measured=measured, is_reached=measured <= aim)


def told(cut: PowerCut) -> str:
    """Return one power cut in a line."""
    words = [
        f"{label} {value:.2f}" for name, label in PHASES[:6] if (value := getattr(cut, name)) is not None
    ]  # fmt: skip
    coordinator = ", the coordinator" if cut.was_coordinator else ""
    twice = "; RAN TWICE" if cut.ran_twice else ""
    return f"{cut.victim}{coordinator}: {', '.join(words)}{twice}"


def show(result: Result) -> None:
    """Print the table and the aims."""
    from rich.console import Console
    from rich.table import Table

    console = Console(emoji=False, width=None if sys.stdout.isatty() else WIDTH)
    found = summaries(result.cuts)
    names = {setup.key: setup.name for setup in SETUPS}
    base = next((one.medians for one in found if one.key == DEFAULTS.key), {})
    table = Table(title=f"Power cut of a guest's host, {result.nodes} nodes, Debian {result.suite}: seconds, "
                  f"medians of {result.runs} (and the most); x: share of {DEFAULTS.name}")  # fmt: skip
    for column in ("", *(label for _, label in PHASES)):
        table.add_column(column, justify="right" if column else "left")
    for one in found:
        cells = [_cell(one.medians[name], one.most[name], base.get(name)) for name, _ in PHASES]
        table.add_row(f"{names[one.key]}\n{result.times[one.key]}", *cells)
    console.print(table)
    for line in aim_lines(aims(found)):
        console.print(line)
    loads = sorted(cut.load for cuts in result.cuts.values() for cut in cuts)
    stolen = sorted(cut.stolen for cuts in result.cuts.values() for cut in cuts)
    coordinators = sum(cut.was_coordinator for cuts in result.cuts.values() for cut in cuts)
    console.print(
        f"load of the machine at the cuts: {loads[0]:.1f} to {loads[-1]:.1f}; "
        f"of its processors its own host took {stolen[0]:.0%} to {stolen[-1]:.0%}; "
        f"the coordinator was the victim in {coordinators} of {len(loads)}"
    )
    console.print("all came back, and nothing ever ran twice" if result.is_good else "NOT ALL CAME BACK, or ran twice")


def _cell(middle: float | None, most: float | None, base: float | None) -> str:
    if middle is None:
        return "-"
    share = f"\nx {middle / base:.2f}" if base else ""
    return f"{middle:.2f} ({most:.2f}){share}"
