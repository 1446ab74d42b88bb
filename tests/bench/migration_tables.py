"""What the bench of migrations prints: a table of all ways and rates, two curves, and the aims."""

from __future__ import annotations

from kvmha.record import Record
from tests.bench import migration_plot
from tests.bench.migration_runs import COMPLETED, HYBRID, OURS, RATES, RESTARTED, SHELL, STAYED, WAYS, Run
from tests.bench.speed import median

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.bench.migration_plot import Curve


class Row(Record):
    """All moves by one way at one rate."""

    way: str
    rate: str
    completed: int
    stayed: int
    restarted: int
    seconds: float | None
    """Median, of those that arrived."""
    gap_s: float | None
    error: float | None
    """The median of how far the forecast was off, as a share of what it took."""
    errors: tuple[float, ...] = ()
    """All of these, in the order of the moves."""


class Aim(Record):
    """What was aimed at, and what came of it."""

    said: str
    is_met: bool | None
    """None: not enough was run to tell."""
    measured: str = ""


def rows(runs: tuple[Run, ...]) -> tuple[Row, ...]:
    """Return a row for each way and rate that was run."""
    found = []
    for rate in RATES:
        for way in WAYS:
            mine = [run for run in runs if (run.way, run.rate) == (way.key, rate)]
            if mine:
                found.append(_row(way.key, rate, mine))
    return tuple(found)


def _row(way: str, rate: str, runs: list[Run]) -> Row:
    arrived = [run for run in runs if run.outcome == COMPLETED]
    errors = [
        abs(run.forecast_s - run.took_s) / run.took_s
        for run in runs
        if run.forecast_s is not None and run.took_s and run.outcome != RESTARTED
    ]
    gaps = [run.gap_s for run in runs if run.gap_s is not None]
    return Row(
        way=way,
        rate=rate,
        completed=len(arrived),
        stayed=sum(run.outcome == STAYED for run in runs),
        restarted=sum(run.outcome == RESTARTED for run in runs),
        seconds=median([run.seconds for run in arrived]) if arrived else None,
        gap_s=median(gaps) if gaps else None,
        error=median(errors) if errors else None,
        errors=tuple(round(error, 3) for error in errors),
    )


def said(run: Run) -> str:
    """Return one move in a line."""
    waited = "-" if run.gap_s is None else f"{run.gap_s:.2f} s"
    told = "" if run.forecast_s is None else f"; forecast {run.forecast_s:.1f} s, took {run.took_s or 0:.1f} s"
    return f"{run.outcome}, {run.seconds:.1f} s, a client waited {waited}{told}"


def aims(found: tuple[Row, ...]) -> tuple[Aim, ...]:
    """Return the aims of the bench."""
    ours = [row for row in found if row.way in (OURS.key, HYBRID.key)]
    hybrid = [row for row in found if row.way == HYBRID.key]
    idle = {row.way: row.gap_s for row in found if row.rate == "idle"}
    errors = [error for row in ours for error in row.errors]
    both = idle.get(OURS.key), idle.get(SHELL.key)
    restarted = sum(row.restarted for row in ours)
    moved = sum(row.completed + row.stayed + row.restarted for row in ours)
    arrived = sum(row.completed for row in hybrid)
    tried = sum(row.completed + row.stayed + row.restarted for row in hybrid)
    error = median(errors) if errors else None
    gaps = f"{both[0]:.2f} s against {both[1]:.2f} s" if both[0] is not None and both[1] is not None else ""
    return (
        Aim(said="no move of ours ends in a restart", is_met=not restarted if ours else None,
            measured=f"{restarted} of {moved}" if ours else ""),
        Aim(said="with post-copy allowed all arrive", is_met=arrived == tried if hybrid else None,
            measured=f"{arrived} of {tried}" if hybrid else ""),
        Aim(said="an idle guest's pause is no worse than that of virsh migrate --live",
            is_met=both[0] <= both[1] * 1.1 if both[0] is not None and both[1] is not None else None, measured=gaps),
        Aim(said="the forecast of the total time is off by less than 25 %, in the middle",
            is_met=error < 0.25 if error is not None else None,
            measured=f"{error:.0%} of {len(errors)} moves" if error is not None else ""),
    )  # fmt: skip


def curves(runs: tuple[Run, ...]) -> dict[str, Curve]:
    """Return one move that converges and one that does not, by what is said of them; ours where there is one.

    Of those that arrive it is the one of the guest that writes most.
    """
    names = {way.key: way.name for way in WAYS}
    pace = list(RATES)
    found = {}
    for word, is_wanted in (("converges", COMPLETED.__eq__), ("does not converge", COMPLETED.__ne__)):
        order = [OURS.key, SHELL.key] if word != "converges" else [OURS.key]
        chosen = sorted(
            (run for run in runs if is_wanted(run.outcome) and run.curve and run.way in order),
            key=lambda run: (order.index(run.way), -pace.index(run.rate)),
        )
        if chosen:
            run = chosen[0]
            found[f"{word}: {names[run.way]}, the guest writes {run.rate} ({run.outcome})"] = run.curve
    return found


def show(runs: tuple[Run, ...]) -> None:
    """Print the table, a curve that converges and one that does not, and the aims."""
    from rich.console import Console
    from rich.table import Table

    names = {way.key: way.name for way in WAYS}
    found = rows(runs)
    table = Table(title="Moves of a guest that writes to its memory")
    for column in (
        "writes",
        "way",
        "arrived",
        "stayed, alive",
        "restarted",
        "seconds",
        "client waited",
        "forecast off",
    ):
        table.add_column(column, justify="left" if column in ("writes", "way") else "right")
    for row in found:
        table.add_row(
            row.rate, names[row.way], str(row.completed), str(row.stayed), str(row.restarted),
            _number(row.seconds, "{:.1f}"), _number(row.gap_s, "{:.2f} s"), _number(row.error, "{:.0%}"),
        )  # fmt: skip
    Console(width=120).print(table)
    for said, curve in curves(runs).items():
        print(migration_plot.text(curve, f"\nMemory remaining, a move that {said}"))
    for aim in aims(found):
        verdict = "met" if aim.is_met else "not run" if aim.is_met is None else "MISSED"
        print(f"{verdict:8} {aim.said}{f': {aim.measured}' if aim.measured else ''}")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
