"""Moves while they are under way, shown to whoever waits: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import signal
import sys

from kvmha.cli.moving.through_pacemaker import MOVING, Move
from kvmha.host import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any

    from kvmha.cli.moving.sight import Sight
    from kvmha.policy.forecast import Forecast
    from kvmha.tools.libvirtd import Progress

JOB_INTERVAL = 0.5
CLUSTER_INTERVAL = 2.0
"""Seconds between two looks at the cluster: crm_mon takes a part of one."""

LINE_INTERVAL = 5.0
"""Seconds between two lines where nobody sees a table."""

BAR = 24


class Watch:
    """Some moves, and their forecasts by the guest's name."""

    def __init__(self, sight: Sight, forecasts: dict[str, Forecast | None], *, is_quiet: bool) -> None:
        self.sight = sight
        self.forecasts = forecasts
        self.is_quiet = is_quiet
        self._line_at = 0.0
        self._cluster_at = 0.0

    def until_over(self, running: Callable[[], Sequence[Move]]) -> None:
        """Look at the moves that ``running`` returns until it returns none. Raises KeyboardInterrupt when asked to."""
        with Interruptible(), self._shown() as show:
            while True:
                moves = running()
                if not moves:
                    return
                for move in moves:
                    move.look_at_job()
                if self.sight.host.now() >= self._cluster_at:
                    self._look(moves)
                show(moves)
                self.sight.host.sleep(JOB_INTERVAL)

    def _look(self, moves: Sequence[Move]) -> None:
        try:
            self.sight.refresh()
        except CommandError:
            # The cluster is busy, or elects; the next look shows more.
            return
        finally:
            self._cluster_at = self.sight.host.now() + CLUSTER_INTERVAL
        for move in moves:
            move.look()

    def _shown(self) -> Any:
        import contextlib

        if self.is_quiet:
            return contextlib.nullcontext(lambda _moves: None)
        if sys.stdout.isatty():
            return _live(self.forecasts)
        return contextlib.nullcontext(self._say)

    def _say(self, moves: Sequence[Move]) -> None:
        now = self.sight.host.now()
        if now < self._line_at:
            return
        self._line_at = now + LINE_INTERVAL
        for move in moves:
            if move.state == MOVING:
                print(" ".join(word for word in (move.guest.name, *row(move, self.forecasts)) if word), flush=True)


def row(move: Move, forecasts: dict[str, Forecast | None]) -> tuple[str, ...]:
    """Return the cells of a move: way, bar, round, sent, written, throughput, expected pause, time left."""
    progress, made = move.progress, forecasts.get(move.guest.name)
    way = f"{move.source} -> {move.target}"
    if progress is None:
        left = f"{max(made.seconds - move.elapsed, 0):.0f} s left" if made is not None else ""
        return way, "", "", "", "", "", "", left or f"{move.elapsed:.0f} s"
    return (
        way,
        _bar(progress),
        "post-copy" if progress.is_post_copy else f"round {progress.round}",
        f"{progress.processed_mib:.0f} MiB sent",
        f"{progress.dirty_mib_s:.0f} MiB/s written",
        f"{progress.speed_mib_s:.0f} MiB/s",
        f"pause {progress.downtime_ms} ms",
        _time_left(progress, made, move.elapsed),
    )


def _bar(progress: Progress) -> str:
    done = 1 - progress.remaining_mib / progress.total_mib
    filled = round(BAR * min(max(done, 0.0), 1.0))
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {100 * done:3.0f} %"


def _time_left(progress: Progress, made: Forecast | None, elapsed: float) -> str:
    if made is not None and made.seconds > elapsed:
        return f"{made.seconds - elapsed:.0f} s left"
    gain = progress.speed_mib_s - progress.dirty_mib_s
    return f"{progress.remaining_mib / gain:.0f} s left" if gain > 0 else "no end in sight"


class Interruptible:
    """SIGTERM and SIGHUP end the work as Ctrl-C does, so that what was begun is undone; Ctrl-C itself does so always.

    A shell has the commands ignore it that it starts in the background.
    """

    def __enter__(self) -> None:
        names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {name: signal.signal(name, _interrupt) for name in names}

    def __exit__(self, *_error: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _live:
    """A table that is drawn anew in its place."""

    def __init__(self, forecasts: dict[str, Forecast | None]) -> None:
        self._forecasts = forecasts

    def __enter__(self) -> Callable[[Sequence[Move]], None]:
        from rich.live import Live

        self._display = Live(transient=True, auto_refresh=False)
        self._display.__enter__()
        return self._draw

    def __exit__(self, *error: Any) -> None:
        self._display.__exit__(*error)

    def _draw(self, moves: Sequence[Move]) -> None:
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1))
        for move in moves:
            table.add_row(move.guest.name, *(cell.replace("[", r"\[") for cell in row(move, self._forecasts)))
        self._display.update(table, refresh=True)
