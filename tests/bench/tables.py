"""What the bench prints."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from tests.bench.calls import OURS, SHELL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.bench.agents import Result
    from tests.bench.cases import Outcome
    from tests.bench.speed import Row, Speed

WIDTH = 160
"""Columns where the output is no terminal."""


def show(result: Result) -> None:
    """Print all tables."""
    # The name of the shell agent has in it what rich takes for a picture.
    console = Console(emoji=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"\nDebian {result.suite}: {', '.join(result.software)}")
    if result.speed is not None:
        console.print(_speed_table(result.speed))
        for line in aim_lines(result.speed):
            console.print(line)
    if result.cases:
        console.print(_case_table(result.cases))
        right = sum(outcome.ours.is_right for outcome in result.cases)
        shell = sum(outcome.shell.is_right for outcome in result.cases)
        console.print(f"as it should be in {right} of {len(result.cases)} cases: {OURS.name}; in {shell}: {SHELL.name}")


def _speed_table(found: Speed) -> Table:
    table = Table(title="What one call costs (the agent's own processes; what daemons do for it is theirs)")
    columns = (
        "action", "agent", "exit", "wall ms", "p90", "CPU ms", "p90", "x python3", "shell / ours", "processes",
        "threads", "largest MiB", "together MiB",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="left" if column in ("action", "agent") else "right")
    cpu = {(row.action, row.agent): row.cpu for row in found.rows}
    last = ""
    for row in found.rows:
        if last and row.action != last:
            table.add_section()
        table.add_row("" if row.action == last else row.action, *_cells(row, cpu))
        last = row.action
    return table


def _cells(row: Row, cpu: dict[tuple[str, str], float]) -> tuple[str, ...]:
    other = cpu.get((row.action, SHELL.name))
    ratio = f"{other / row.cpu:.1f}" if row.agent == OURS.name and other is not None else ""
    return (
        row.agent.rpartition(":VirtualDomain")[0],
        str(row.rc),
        *(f"{seconds * 1000:.1f}" for seconds in (row.wall, row.wall_p90, row.cpu, row.cpu_p90)),
        f"{row.yardsticks:.2f}",
        ratio,
        str(row.processes),
        str(row.threads),
        f"{row.largest_kib / 1024:.1f}",
        f"{row.together_kib / 1024:.1f}",
    )


def aim_lines(found: Speed) -> list[str]:
    """Return a line for each aim of the monitor: what was aimed at, what was measured, and how far off that is."""
    lines = []
    for aim in found.aims:
        off = abs(aim.measured / aim.aim - 1) * 100
        verdict = "reached" if aim.is_reached else "NOT reached"
        lines.append(f"monitor: {aim.what} {aim.aim:g}: {verdict}, {aim.measured:.2f} ({off:.0f} % from the aim)")
    return lines


def _case_table(outcomes: tuple[Outcome, ...]) -> Table:
    table = Table(title="What they do", show_lines=True)
    table.add_column("", justify="right")
    table.add_column("case, and what is wanted", ratio=4)
    table.add_column(SHELL.name, ratio=4)
    table.add_column(OURS.name, ratio=4)
    for outcome in outcomes:
        table.add_row(
            str(outcome.number),
            f"{outcome.name}\n-> {outcome.wanted}",
            *(_marked(found.did, found.is_right) for found in (outcome.shell, outcome.ours)),
        )
    return table


def _marked(did: str, is_right: bool) -> str:
    from rich.markup import escape

    return f"[green]right:[/green] {escape(did)}" if is_right else f"[red]WRONG:[/red] {escape(did)}"
