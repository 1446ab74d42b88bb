"""What is shown of moves while they are under way."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from kvmha.cli.moving import watching
from kvmha.tools.libvirtd import Progress

UNDER_WAY = Progress(
    elapsed_s=2.0, total_mib=1000, processed_mib=300, remaining_mib=250, speed_mib_s=100, dirty_mib_s=50, round=3,
    downtime_ms=120, throttle=0, post_copy_requests=0, setup_ms=10, is_post_copy=False,
)  # fmt: skip


def move(progress=None, elapsed=4.0):
    guest = SimpleNamespace(name="web1")
    return SimpleNamespace(guest=guest, source="n1", target="n2", progress=progress, elapsed=elapsed)


def forecast(seconds):
    return {"web1": SimpleNamespace(seconds=seconds)}


def test_before_libvirt_says_anything_the_forecast_does():
    assert watching.row(move(), {})[0::7] == ("n1 -> n2", "4 s")
    assert watching.row(move(), forecast(20.0))[-1] == "16 s left"


def test_a_move_shows_its_round_what_went_over_and_what_is_left():
    assert watching.row(move(UNDER_WAY), {}) == (
        "n1 -> n2", "[##################......]  75 %", "round 3", "300 MiB sent", "50 MiB/s written", "100 MiB/s",
        "pause 120 ms", "5 s left",
    )  # fmt: skip
    assert watching.row(move(UNDER_WAY.replace(is_post_copy=True)), {})[2] == "post-copy"


@pytest.mark.parametrize(
    ("seconds", "dirty", "said"), [(10.0, 50, "6 s left"), (3.0, 50, "5 s left"), (3.0, 100, "no end in sight")]
)
def test_the_time_left_is_the_forecasts_until_that_has_passed(seconds, dirty, said):
    assert watching.row(move(UNDER_WAY.replace(dirty_mib_s=dirty)), forecast(seconds))[-1] == said


def test_a_terminal_shows_a_line_for_each_move_with_its_bar(monkeypatch):
    shown = []
    monkeypatch.setattr("rich.live.Live.update", lambda _live, table, refresh: shown.append(table))
    with watching._live({}) as draw:
        draw((move(UNDER_WAY), move()))
    console = Console(width=160, file=io.StringIO())
    console.print(shown[0])
    first, second = console.file.getvalue().splitlines()
    assert "[##################......]  75 %" in first
    assert "n1 -> n2" in second
