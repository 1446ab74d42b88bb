"""What the bench of migrations prints: a table of all ways and rates, two curves, and the aims."""

from __future__ import annotations

from kvmha.record import Record
from tests.bench.migration_runs import COMPLETED, HYBRID, OURS, RATES, RESTARTED, SHELL, STAYED, WAYS, Run
from tests.bench.speed import median

PLOT_WIDTH, PLOT_HEIGHT = 72, 12


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


class Aim(Record):
    """What was aimed at, and what came of it."""

    said: str
    is_met: bool | None
    """None: not enough was run to tell."""


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
    )


def aims(found: tuple[Row, ...]) -> tuple[Aim, ...]:
    """Return the aims of the bench."""
    ours = [row for row in found if row.way in (OURS.key, HYBRID.key)]
    hybrid = [row for row in found if row.way == HYBRID.key]
    idle = {row.way: row.gap_s for row in found if row.rate == "idle"}
    errors = [row.error for row in ours if row.error is not None]
    both = idle.get(OURS.key), idle.get(SHELL.key)
    return (
        Aim(said="no move of ours ends in a restart", is_met=not any(row.restarted for row in ours) if ours else None),
        Aim(said="with post-copy allowed all arrive",
            is_met=all(not row.stayed and not row.restarted for row in hybrid) if hybrid else None),
        Aim(said="an idle guest's pause is no worse than that of virsh migrate --live",
            is_met=both[0] <= both[1] * 1.1 if both[0] is not None and both[1] is not None else None),
        Aim(said="the forecast of the total time is off by less than 25 %, in the middle",
            is_met=median(errors) < 0.25 if errors else None),
    )  # fmt: skip


def plot(curve: tuple[tuple[float, float], ...], title: str) -> str:
    """Return memory remaining over time as text."""
    if not curve:
        return f"{title}: nothing was seen"
    end, top = max(at for at, _ in curve) or 1.0, max(left for _, left in curve) or 1.0
    grid = [[" "] * PLOT_WIDTH for _ in range(PLOT_HEIGHT)]
    for at, left in curve:
        column = min(int(at / end * (PLOT_WIDTH - 1)), PLOT_WIDTH - 1)
        line = PLOT_HEIGHT - 1 - min(int(left / top * (PLOT_HEIGHT - 1)), PLOT_HEIGHT - 1)
        grid[line][column] = "*"
    lines = [f"{top:6.0f} |{''.join(grid[0]).rstrip()}"]
    lines += [f"{'':6} |{''.join(line).rstrip()}" for line in grid[1:-1]]
    lines += [f"{0:6} |{''.join(grid[-1]).rstrip()}", f"{'MiB':>6} +{'-' * PLOT_WIDTH} {end:.0f} s"]
    return "\n".join([title, *lines])


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
    for outcome, title in ((COMPLETED, "a move that converges"), (STAYED, "a move that does not, and is given up")):
        chosen = [run for run in runs if run.outcome == outcome and run.way == OURS.key and run.curve]
        if chosen:
            print(plot(chosen[-1].curve, f"\nMemory remaining, {title} (the guest writes: {chosen[-1].rate})"))
    for aim in aims(found):
        print(f"{'met' if aim.is_met else 'not run' if aim.is_met is None else 'MISSED':8} {aim.said}")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
