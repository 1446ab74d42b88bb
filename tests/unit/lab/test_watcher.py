"""The client outside the nodes, against real sockets on loopback."""

from __future__ import annotations

import json
import os
import select
import socket
import sys

import pytest

from kvmha.host import Host
from kvmha.lab import watcher
from kvmha.lab.watcher import Answer, Target, longest_gap, parse_answer, parse_target

PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(watcher.__file__))))


def answers(*times):
    return [Answer(at=at, target="web1", boot="a") for at in times]


def test_the_longest_gap_is_found_where_it_touches_the_span():
    gap = longest_gap(answers(0.0, 9.0, 9.1, 9.2, 10.5, 10.6, 30.0), since=9.15, until=10.55)
    assert (gap.start, gap.end) == (9.2, 10.5)


def test_a_gap_that_began_before_the_span_counts_whole():
    gap = longest_gap(answers(1.0, 4.0, 4.1), since=2.0, until=4.2)
    assert gap.seconds == 3.0


def test_no_gap_is_told_without_an_answer_on_both_sides():
    assert longest_gap(answers(1.0), since=0.0, until=9.0) is None
    assert longest_gap([], since=0.0, until=9.0) is None


@pytest.mark.parametrize(
    "word", ["web1=10.0.0.1:7000", "line:=10.0.0.1:7000", "line:web1=10.0.0.1:x", "ping:web1=10.0.0.1:1"]
)
def test_a_wrong_target_is_refused(word):
    with pytest.raises(ValueError, match=r"line:NAME|invalid literal"):
        parse_target(word)


def test_a_target_survives_its_command_line_form():
    target = Target(name="web1", kind="line", address="10.0.0.1", port=7000)
    assert parse_target(target.word()) == target


def test_half_a_line_of_output_is_no_answer():
    assert parse_answer('{"at": 1.0, "targ') is None


def watched(*targets, wanted, seconds=20.0):
    """Return the answers that the watcher prints until each wanted target has answered twice, or the time is up."""
    host = Host()
    pid, fd = host.stream(
        sys.executable,
        "-m",
        "kvmha.lab.watcher",
        *(target.word() for target in targets),
        env={"PYTHONPATH": PACKAGE},
    )
    seen, rest, until = [], b"", host.now() + seconds
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while host.now() < until and any([answer.target for answer in seen].count(name) < 2 for name in wanted):
            if poll.poll(100):
                *lines, rest = (rest + os.read(fd, 4096)).split(b"\n")
                seen += [Answer(**json.loads(line)) for line in lines]
    finally:
        host.end(pid)
        os.close(fd)
    return seen


def test_a_line_is_an_answer_and_a_closed_port_only_for_a_touch():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        closed_port = closed.getsockname()[1]
        pid = os.fork()
        if pid == 0:
            while True:
                client, _ = server.accept()
                client.sendall(b"web1 boot=abc answers=1\n")
                client.close()
        try:
            seen = watched(
                Target(name="web1", kind="line", address="127.0.0.1", port=server.getsockname()[1]),
                Target(name="down", kind="line", address="127.0.0.1", port=closed_port),
                Target(name="vip", kind="touch", address="127.0.0.1", port=closed_port),
                wanted=("web1", "vip"),
            )
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    assert {answer.target for answer in seen} == {"web1", "vip"}
    assert {answer.boot for answer in seen if answer.target == "web1"} == {"abc"}


def test_an_accepting_port_is_an_answer_for_a_touch_but_silence_is_none_for_a_line():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        seen = watched(
            Target(name="silent", kind="line", address="127.0.0.1", port=port),
            Target(name="vip", kind="touch", address="127.0.0.1", port=port),
            wanted=("vip",),
        )
    assert {answer.target for answer in seen} == {"vip"}
