"""kvmha drain against what speaks against it: refused, or done and logged."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvmha.cli import drain
from kvmha.cli.main import main
from kvmha.cli.moving import replicas
from kvmha.policy import draining
from kvmha.tools import drbd
from kvmha.tools.crm_mon import NodeStatus
from tests.fakes import FakeHost

SAID = "web2 has nowhere to go: n2: short of 1.0 GiB for web2"


@pytest.fixture
def asked(mocker):
    """Return a function that asks to drain a node whose guest has nowhere to go, and what was logged and done."""
    logged, decided, done = [], [], []
    status = SimpleNamespace(is_online=True, is_standby=False)
    sight = SimpleNamespace(node=lambda name: name, status=SimpleNamespace(node=lambda _name: status))
    plan = draining.Plan(
        items=(), refusals=(draining.Refusal(guest="web2", reasons=("n2: short of 1.0 GiB for web2",)),), at_once=2,
        seconds=0.0,
    )  # fmt: skip
    mocker.patch.object(drain, "Sight", return_value=sight)
    mocker.patch.object(drain, "_inputs", return_value=({}, {}))
    mocker.patch.object(drain, "_data_loss", return_value=[])
    mocker.patch.object(drain.draining, "plan", return_value=plan)
    mocker.patch.object(drain.admission, "against_drain", return_value=())
    mocker.patch.object(drain.decided, "drain", lambda *_args, forced, **_more: decided.append(forced))
    mocker.patch.object(drain.journal, "warn", logged.append)
    mocker.patch.object(drain, "Drain", return_value=SimpleNamespace(run=lambda is_forced: done.append(is_forced) or 0))

    def ask(*words):
        return main(["drain", "n1", *words], FakeHost()), decided, logged, done

    return ask


SCORE = f"{replicas.SCORE}r1"


def seen_from_elsewhere(**scores: str):
    """Return what a node without DRBD sees of three others: the promotion score of each, empty for none."""
    nodes = tuple(
        NodeStatus(
            name=name, is_online=score != "off", is_unclean=False, is_standby=False,
            attributes={SCORE: score} if score else {},
        )
        for name, score in scores.items()
    )  # fmt: skip
    return SimpleNamespace(host=FakeHost(), here="n9", status=SimpleNamespace(nodes=nodes))


@pytest.mark.parametrize(
    ("scores", "is_refused"),
    [
        pytest.param({"n1": "10000", "n2": "9999"}, False, id="another-one"),
        pytest.param({"n1": "10000", "n2": "10"}, True, id="another-one-that-lives-on-this-ones-disk"),
        pytest.param({"n1": "10000", "n2": ""}, True, id="no-other-one"),
        pytest.param({"n1": "10000", "n2": "many"}, True, id="a-score-that-is-none"),
        pytest.param({"n1": "", "n2": "10000"}, False, id="none-here"),
        pytest.param({"n1": "10", "n2": ""}, False, id="none-that-is-up-to-date-here"),
    ],
)
def test_the_last_copy_of_a_disk_is_seen_from_a_node_that_has_none(scores, is_refused):
    found = drain._data_loss(seen_from_elsewhere(**scores), "n1")
    assert bool(found) == is_refused
    assert not found or found == ["DRBD resource r1 would be left without an UpToDate copy, by its promotion scores"]


EVENTS = """\
exists resource name:r1 role:Primary suspended:no
exists connection name:r1 peer-node-id:1 conn-name:n2 connection:Connected role:Secondary
exists device name:r1 volume:0 minor:0 disk:{here}
exists peer-device name:r1 peer-node-id:1 conn-name:n2 volume:0 replication:Established peer-disk:{there}
exists -
"""


@pytest.mark.parametrize(
    ("node", "here", "there", "is_refused"),
    [
        ("n1", "UpToDate", "UpToDate", False),
        ("n1", "UpToDate", "Inconsistent", True),
        ("n2", "UpToDate", "UpToDate", False),
        ("n2", "Inconsistent", "UpToDate", True),
    ],
)
def test_what_drbd_itself_says_here_counts_before_any_score(node, here, there, is_refused):
    seen = seen_from_elsewhere(n1="10000", n2="")
    seen.here = "n1"
    seen.host.files[drbd.LOADED] = b""
    seen.host.commands[drbd.events_argv()] = EVENTS.format(here=here, there=there)
    found = drain._data_loss(seen, node)
    assert found == (["DRBD resource r1 would be left without an UpToDate copy"] if is_refused else [])


def test_a_copy_on_a_node_that_is_off_is_none():
    there = seen_from_elsewhere(n1="10000", n2="9999")
    n1, n2 = there.status.nodes
    there.status = SimpleNamespace(nodes=(n1, n2.replace(is_online=False)))
    assert drain._data_loss(there, "n1") != []


def test_a_guest_that_has_nowhere_to_go_keeps_its_node(asked, capsys):
    assert asked() == (2, [False], [], [])
    assert capsys.readouterr().err == f"kvmha: {SAID}\nn1 was not drained; --override does it all the same\n"


@pytest.mark.parametrize("option", ["--override", "--force"])
def test_who_overrides_that_drains_and_is_in_the_log(asked, option):
    assert asked(option) == (0, [True], [f"drain of n1 was forced: {SAID}"], [True])


def test_a_look_overrides_nothing_and_ends_like_a_refusal(asked):
    assert asked("--override", "--dry-run") == (2, [False], [], [])
