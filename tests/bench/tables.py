"""What the bench prints."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from tests.bench import address_takeover
from tests.bench.calls import ADDRESS_SIDES, OUR_ADDRESS, SHELL_ADDRESS, SIDES
from tests.bench.replica_speed import REPLICA_SIDES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.bench.address_takeover import Takeover
    from tests.bench.agents import Result
    from tests.bench.calls import Side
    from tests.bench.cases import Outcome
    from tests.bench.replica_promotion import Promotion
    from tests.bench.speed import Aim, Row, Speed

WIDTH = 160
"""Columns where the output is no terminal."""


def show(result: Result) -> None:
    """Print all tables."""
    # The name of the shell agent has in it what rich takes for a picture.
    console = Console(emoji=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"\nDebian {', '.join((result.suite, *result.software))}")
    _show_agents(console, SIDES, result.speed, result.cases)
    addresses = result.addresses
    _show_agents(console, ADDRESS_SIDES, addresses.speed, addresses.cases)
    _show_agents(console, REPLICA_SIDES, result.replicas.speed, result.replicas.cases)
    if result.replicas.promotions:
        console.print(_promotion_table(result.replicas.promotions))
    if addresses.takeovers:
        console.print(_takeover_table(addresses.takeovers))
        for line in (
            *aim_lines(address_takeover.aims(addresses.takeovers)),
            *address_takeover.noise(addresses.takeovers),
        ):
            console.print(line)


def _show_agents(
    console: Console, sides: tuple[Side, Side], speed: Speed | None, outcomes: tuple[Outcome, ...]
) -> None:
    shell, ours = sides
    if speed is not None:
        console.print(_speed_table(speed))
        for line in aim_lines(speed.aims):
            console.print(f"{ours.kind}'s monitor: {line}")
    if outcomes:
        console.print(_case_table(outcomes, sides))
        right = sum(outcome.ours.is_right for outcome in outcomes)
        theirs = sum(outcome.shell.is_right for outcome in outcomes)
        console.print(f"as it should be in {right} of {len(outcomes)} cases: {ours.name}; in {theirs}: {shell.name}")


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
    shell = {ours.name: shell.name for shell, ours in (SIDES, ADDRESS_SIDES, REPLICA_SIDES)}
    other = cpu.get((row.action, shell.get(row.agent, "")))
    ratio = f"{other / row.cpu:.1f}" if other is not None else ""
    return (
        row.agent,
        str(row.rc),
        *(f"{seconds * 1000:.1f}" for seconds in (row.wall, row.wall_p90, row.cpu, row.cpu_p90)),
        f"{row.yardsticks:.2f}",
        ratio,
        str(row.processes),
        str(row.threads),
        f"{row.largest_kib / 1024:.1f}",
        f"{row.together_kib / 1024:.1f}",
    )


def aim_lines(aims: tuple[Aim, ...]) -> list[str]:
    """Return a line for each aim: what was aimed at, what was measured, and how far off that is."""
    lines = []
    for aim in aims:
        off = abs(aim.measured / aim.aim - 1) * 100
        verdict = "reached" if aim.is_reached else "NOT reached"
        lines.append(f"{aim.what} {aim.aim:g}: {verdict}, {aim.measured:.2f} ({off:.0f} % from the aim)")
    return lines


def _takeover_table(found: tuple[Takeover, ...]) -> Table:
    table = Table(title="What a client with a warm neighbour cache misses of the address, milliseconds")
    for column in (
        "family", "event", "agent", "runs", "answered", "start to answer", "p90", "without an answer", "ours / shell",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in ("family", "event", "agent") else "right")
    for one in found:
        for side, seen in ((SHELL_ADDRESS, one.shell), (OUR_ADDRESS, one.ours)):
            is_first = side is SHELL_ADDRESS
            ratio = f"{one.ratio:.2f}" if one.ratio is not None and not is_first else ""
            times = (seen.to_answer, seen.to_answer_p90, seen.silence)
            table.add_row(
                one.family if is_first else "", address_takeover.EVENTS[one.event] if is_first else "", side.name,
                str(seen.runs), str(seen.answered),
                *("-" if time is None else f"{time * 1000:.0f}" for time in times), ratio,
            )  # fmt: skip
        table.add_section()
    return table


def _promotion_table(found: tuple[Promotion, ...]) -> Table:
    table = Table(title="A replica is promoted after the power of the promoted one was cut, seconds")
    for column in ("setup", "cuts", "after the fencing was confirmed", "each", "after the cut"):
        table.add_column(column, justify="left" if column == "setup" else "right")
    for one in found:
        each = " ".join("-" if cut.from_fenced is None else f"{cut.from_fenced:.1f}" for cut in one.cuts)
        times = [one.median(what) for what in ("from_fenced", "from_cut")]
        after, whole = ("-" if time is None else f"{time:.1f}" for time in times)
        table.add_row(one.way.name, str(len(one.cuts)), after, each, whole)
    return table


def _case_table(outcomes: tuple[Outcome, ...], sides: tuple[Side, Side]) -> Table:
    shell, ours = sides
    table = Table(title="What they do", show_lines=True)
    table.add_column("", justify="right")
    table.add_column("case, and what is wanted", ratio=4)
    table.add_column(shell.name, ratio=4)
    table.add_column(ours.name, ratio=4)
    for outcome in outcomes:
        table.add_row(
            str(outcome.number or ""),
            f"{outcome.name}\n-> {outcome.wanted}",
            *(_marked(found.did, found.is_right) for found in (outcome.shell, outcome.ours)),
        )
    return table


def _marked(did: str, is_right: bool) -> str:
    from rich.markup import escape

    return f"[green]right:[/green] {escape(did)}" if is_right else f"[red]WRONG:[/red] {escape(did)}"
