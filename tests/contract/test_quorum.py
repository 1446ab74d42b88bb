"""Our reckoning of votes against votequorum's own code, which corosync-vqsim runs over simulated partitions."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvmha.host import Host
from kvmha.policy import quorum

HOST = Host()
AT_ONCE = 12
"""A simulation sleeps nearly all of its time."""

OPTIONS = [
    {},
    {"wait_for_all": True},
    {"two_node": True},
    {"two_node": True, "wait_for_all": False},
    {"auto_tie_breaker": True},
    {"auto_tie_breaker": True, "wait_for_all": True},
    {"auto_tie_breaker": True, "tie_breaker": "highest", "wait_for_all": True},
    {"auto_tie_breaker": True, "tie_breaker": "2 3", "wait_for_all": True},
    {"last_man_standing": True, "wait_for_all": True},
    {"last_man_standing": True, "auto_tie_breaker": True, "wait_for_all": True},
    {"expected_votes": 2},
    {"expected_votes": 6},
    {"expected_votes": 6, "wait_for_all": True},
]
NAMES = {"tie_breaker": "auto_tie_breaker_node"}

# vqsim takes a configuration by a path of seven letters at most, waits for its nodes, and prints what they say when
# they say it; so it is given time, and asked at the end.
SIMULATION = """\
cd {folder} && ( sleep {pause}; {split} echo show; sleep {pause}; echo exit; sleep 0.2 ) |
timeout 60 corosync-vqsim -c c.conf 2>/dev/null
"""
STATE = re.compile(r"^\d+:(\d+): q=(\d) ring=\S+ nodes=\[([\d ]*)\]", re.MULTILINE)


def partitions(numbers):
    """Yield every way in which nodes can fall into parts."""
    if not numbers:
        yield []
        return
    first, *rest = numbers
    for parts in partitions(rest):
        yield [[first], *parts]
        for place, part in enumerate(parts):
            yield [*parts[:place], [first, *part], *parts[place + 1 :]]


def conf(votes, options) -> str:
    nodes = "".join(
        f"  node {{\n    ring0_addr: 192.0.2.{n}\n    nodeid: {n}\n    name: n{n}\n    quorum_votes: {v}\n  }}\n"
        for n, v in enumerate(votes, 1)
    )
    more = "".join(f"  {NAMES.get(key, key)}: {v if isinstance(v, str) else int(v)}\n" for key, v in options.items())
    return (
        "totem {\n  version: 2\n  cluster_name: test\n}\n"
        f"nodelist {{\n{nodes}}}\nquorum {{\n  provider: corosync_votequorum\n{more}}}\n"
    )


def simulated(folder, votes, options, parts) -> dict[int, int]:
    """Return, by node, whether votequorum calls it quorate after the split."""
    place = folder / f"{os.getpid()}-{abs(hash((tuple(votes), str(options), str(parts))))}"
    place.mkdir()
    (place / "c.conf").write_text(conf(votes, options))
    wanted = {n: " ".join(map(str, sorted(part))) for part in parts for n in part}
    words = " ".join(f"{number}:{','.join(map(str, part))}" for number, part in enumerate(parts) if number)
    for pause in (1.0, 3.0, 8.0):
        split = f"echo split {words}; sleep {pause};" if words else ""
        script = SIMULATION.format(folder=place, pause=pause, split=split)
        out = HOST.run("sh", "-c", script, timeout=90, ok=None).out.rpartition("show")[2]
        found = {int(n): (int(q), seen) for n, q, seen in STATE.findall(out)}
        if {n: seen for n, (_, seen) in found.items()} == wanted:
            return {n: q for n, (q, _) in found.items()}
    pytest.fail(f"the simulated nodes never saw each other as they should: {options} {parts}\n{out}")


def predicted(votes, options, parts) -> dict[int, int]:
    voters = tuple(quorum.Voter(name=f"n{n}", nodeid=n, votes=v) for n, v in enumerate(votes, 1))
    found = quorum.judge(quorum.Settings(voters=voters, **options), [[f"n{n}" for n in part] for part in parts])
    quorum.check_invariants(found)
    return {int(name[1:]): int(verdict.part.is_quorate) for verdict in found.parts for name in verdict.part.members}


def differences(folder, cases):
    def compare(case):
        ours, theirs = predicted(*case), simulated(folder, *case)
        # A load on the machine can leave a node's first word unsaid; a difference has to show twice.
        if ours != theirs:
            theirs = simulated(folder / "again", *case)
        return [] if ours == theirs else [(*case, ours, theirs)]

    (folder / "again").mkdir()
    with ThreadPoolExecutor(AT_ONCE) as together:
        return [found for each in together.map(compare, cases) for found in each]


def starts(votes, options) -> bool:
    voters = tuple(quorum.Voter(name=f"n{n}", nodeid=n, votes=v) for n, v in enumerate(votes, 1))
    return not quorum.rules(quorum.Settings(voters=voters, **options)).refusal


@pytest.fixture(autouse=True)
def _vqsim():
    if HOST.which("corosync-vqsim") is None:
        pytest.skip("not installed: corosync-vqsim, a Debian package of that name")


@pytest.mark.parametrize(
    "count", [2, 3, pytest.param(4, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.slow)]
)
def test_every_partition_is_judged_as_votequorum_judges_it(tmp_path, count):
    votes = [1] * count
    cases = [
        (votes, options, parts)
        for options in OPTIONS
        for parts in partitions(list(range(1, count + 1)))
        if starts(votes, options)
    ]
    assert len(cases) >= 10
    assert differences(tmp_path, cases) == []


@pytest.mark.slow
def test_so_are_nodes_with_different_votes(tmp_path):
    cases = [([3, 1, 1], options, parts) for options in ({}, {"wait_for_all": True}) for parts in partitions([1, 2, 3])]
    cases += [([2, 1, 1], {"auto_tie_breaker": True}, parts) for parts in partitions([1, 2, 3])]
    assert differences(tmp_path, cases) == []


@pytest.mark.parametrize("algorithm", [quorum.FFSPLIT, quorum.LMS])
def test_the_votes_of_a_device_count_as_those_of_a_node_would_that_is_with_the_part_of_its_choice(tmp_path, algorithm):
    """The device of corosync-vqsim 3.1.7 never votes ("qdevice poll failed: 22"), so a node stands in for it."""
    found = []
    for count in (2, 3):
        device = quorum.Device(algorithm=algorithm, votes=1 if algorithm == quorum.FFSPLIT else count - 1)
        voters = tuple(quorum.Voter(name=f"n{n}", nodeid=n) for n in range(1, count + 1))
        for parts in partitions(list(range(1, count + 1))):
            names = [[f"n{n}" for n in part] for part in parts]
            judged = quorum.judge(quorum.Settings(voters=voters, device=device), names)
            chosen = quorum.device_choice(judged.rules, names)
            ours = {n: int(v.part.is_quorate) for v, part in zip(judged.parts, parts) for n in part}
            standing_in = [[*part, count + 1] if place == chosen else part for place, part in enumerate(parts)]
            standing_in += [[count + 1]] if chosen is None else []
            theirs = simulated(tmp_path, [1] * count + [device.votes], {}, standing_in)
            found += [] if ours == {n: theirs[n] for n in ours} else [(count, parts, ours, theirs)]
    assert found == []
