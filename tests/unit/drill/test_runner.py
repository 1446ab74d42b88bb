"""The runner on a cluster of values: whatever ends a drill, and at whichever step, what it did is undone."""

from __future__ import annotations

import json
import os
import signal

import pytest

from kvmha.drill import journal, runner, undoing
from kvmha.drill.reach import Reach
from kvmha.drill.records import ABORTED, BROKEN, ERROR, LATE, PASSED, Expected, Order
from kvmha.drill.runner import Runner
from kvmha.drill.stage import Stage
from kvmha.drill.watch import Known
from kvmha.errors import UserError
from kvmha.tools import cib, crm_mon, ssh
from tests.fakes import FakeHost

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
STATUS = """<crm_mon><summary><current_dc present="true" with_quorum="true"/></summary>
<nodes><node name="n1" online="true"/><node name="n2" online="{online}" unclean="{unclean}"/></nodes>
<resources><resource id="web2" active="true" managed="true"><node name="{place}"/></resource></resources>
<fence_history>{fenced}</fence_history></crm_mon>"""
FENCED = '<fence_event target="n2" action="reboot" status="success" completed="2026-11-23 10:00:00Z"/>'
CIB = "<cib><configuration/><status>{failed}</status></cib>"
FAILED = """<node_state uname="n2"><lrm><lrm_resources><lrm_resource id="web2">
<lrm_rsc_op id="web2_last_failure_0" operation="monitor" interval="10000" rc-code="1" last-rc-change="5"/>
</lrm_resource></lrm_resources></lrm></node_state>"""
UNDO = ssh.argv("n2", "kvmha", "drill", "at-node", "undo")


class Killed(BaseException):
    """The runner is gone: nothing of it goes on, no finally either that needs the machine."""


class World:
    """What is outside the runner, and goes on without it."""

    def __init__(self):
        self.fault = ""
        self.struck_at = None
        self.files = {}
        self.twice = False
        self.answers_undo = True
        self.is_fenceable = True
        self.failed = ""
        self.returns_after = 20.0
        self.comes_home = False
        """The node boots so fast that its guest is started there, and nowhere else."""

    def fenced(self, now):
        takes = self.fault in ("corosync-killed", "links-cut") and self.is_fenceable
        return takes and now - self.struck_at > 4

    def is_away(self, now):
        """Tell whether the target is cut off, or boots."""
        takes = self.fault in ("corosync-killed", "links-cut")
        return takes and not (self.fenced(now) and now - self.struck_at > self.returns_after)

    def status(self, now):
        fenced, gone = self.fenced(now), self.is_away(now) and now - self.struck_at > 2
        return STATUS.format(
            online="false" if gone else "true", unclean="true" if gone and not fenced else "false",
            place="n1" if fenced and not self.comes_home else "n2", fenced=FENCED if fenced else "",
        )  # fmt: skip


class Machine(FakeHost):
    """The runner's node; ``ends_at`` is the number of the command at which something happens to the runner."""

    def __init__(self, world, *, ends_at=None, by=None):
        super().__init__()
        self.world = world
        self.files = world.files
        self.files.setdefault("/proc/sys/kernel/hostname", b"n1\n")
        self.count = 0
        self.ends_at, self.by = ends_at, by
        self.is_dead = False
        self.states = []

    def wall_clock(self):
        return self.clock

    def write(self, path, text, mode=0o644):
        if self.is_dead:
            raise Killed
        super().write(path, text, mode)
        if path.startswith(journal.FOLDER):
            self.states.append(json.loads(text)["state"])

    def run(self, *argv, **options):
        if self.is_dead:
            raise Killed
        self.count += 1
        is_end = self.count == self.ends_at
        # Half of the commands are interrupted before they have done anything, and half after that.
        if is_end and self.count % 2:
            self._end()
        self.commands[argv] = self._answer(argv)
        done = super().run(*argv, **options)
        if is_end:
            self._end()
        return done

    def _end(self):
        self.is_dead = self.by is Killed
        raise self.by

    def _answer(self, argv):
        world = self.world
        if argv == crm_mon.ARGV:
            return world.status(self.clock)
        if argv == cib.query_argv():
            return CIB.format(failed=world.failed)
        if argv == UNDO:
            if not world.answers_undo:
                return (255, "", "ssh: No route to host")
            if world.is_away(self.clock):
                return (255, "", "ssh: No route to host")
            undone = [world.fault] if world.fault == "link-cut" else []
            world.fault = "" if undone else world.fault
            return json.dumps({"undone": undone})
        if argv[0] == "ssh" and "strike" in argv[-1]:
            assert self.states[-1] == journal.STRIKING, "it is written down before it is done"
            world.fault, world.struck_at = self.order.drill, self.clock
            return json.dumps({"at": self.clock, "said": "done"})
        return ""


class Nodes:
    """The nodes' looks at themselves."""

    def __init__(self, reach, nodes, *words):
        self.host, self.nodes = reach.host, nodes
        self.offsets = dict.fromkeys(nodes, 0.0)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def read(self, seconds):
        world, found = self.host.world, []
        self.host.sleep(seconds)
        is_new = world.fault and world.fenced(self.host.clock)
        place = "n1" if is_new and not world.comes_home else "n2"
        for node in self.nodes:
            runs = node == place or (world.twice and world.fault)
            runs = runs and not (world.comes_home and world.is_away(self.host.clock))
            guests = {UUID: {"name": "web2", "pid": 701 if is_new else 700, "executes": True}} if runs else {}
            found.append((node, {"at": self.host.clock, "guests": guests, "addresses": []}))
        return found


@pytest.fixture(autouse=True)
def nodes(monkeypatch):
    monkeypatch.setattr(runner, "Streams", Nodes)


def made(host, drill="link-cut", **changes):
    host.order = Order(drill=drill, node="n2", link="1", **{"hold_s": 10.0, "limit_s": 60.0, **changes})
    stage = Stage(
        nodes=("n1", "n2"), cluster="demo", known=Known(guests={UUID: "web2"}, names={}, addresses={}),
        uuids={"web2": UUID}, targets=(), expected=Expected(), gates=(),
    )  # fmt: skip
    return Runner(host, Reach(host, "n1"), host.order, stage, lambda _text: None)


def test_a_link_is_cut_held_healed_and_nobody_was_disturbed():
    world = World()
    host = Machine(world)
    outcome = made(host).run()
    assert (outcome.result, outcome.breaches) == (PASSED, ()), outcome.said
    assert world.fault == ""
    assert outcome.took_s >= 10
    assert [(m.phase, m.at >= 10) for m in outcome.moments] == [("fault", False), ("undone", True)]
    assert host.states == [journal.STRIKING, journal.STRUCK, journal.UNDONE]


def test_a_node_is_taken_away_and_what_it_ran_runs_elsewhere():
    outcome = made(Machine(World()), "corosync-killed").run()
    assert (outcome.result, outcome.breaches) == (PASSED, ()), outcome.said
    assert [m.phase for m in outcome.moments if m.subject == "n2"] == ["fault", "node back"]
    (web2,) = outcome.recoveries
    assert (web2.name, web2.node) == ("web2", "n1")
    assert web2.process_up > 4


def test_a_node_that_is_back_before_its_guest_was_started_elsewhere_has_it_again():
    world = World()
    world.comes_home, world.returns_after = True, 6.0
    outcome = made(Machine(world), "corosync-killed").run()
    assert (outcome.result, outcome.breaches) == (PASSED, ()), outcome.said
    (web2,) = outcome.recoveries
    assert web2.node == "n2"
    assert web2.process_up > 6


def test_a_guest_that_runs_twice_ends_it_at_once():
    world = World()
    world.twice = True
    outcome = made(Machine(world), hold_s=100.0).run()
    assert outcome.result == BROKEN
    assert "guest web2" in outcome.said
    assert outcome.took_s < 60
    assert world.fault == ""


@pytest.mark.parametrize(
    ("change", "drill", "result", "said"),
    [
        pytest.param({"is_fenceable": False}, "corosync-killed", LATE, "n2 was not fenced within 60 s", id="unfenced"),
        pytest.param(
            {"returns_after": 1e9}, "corosync-killed", LATE, "not well again within 60 s: n2 is not back", id="gone"
        ),
        pytest.param({"answers_undo": False}, "link-cut", ERROR, "n2 could not be asked to undo link-cut", id="silent"),
    ],
)
def test_what_never_comes_ends_it_by_its_time_limit_and_is_said(change, drill, result, said):
    world = World()
    vars(world).update(change)
    outcome = made(Machine(world), drill).run()
    assert outcome.result == result
    assert said in outcome.said


def test_what_failed_meanwhile_is_told():
    world = World()
    host = Machine(world)
    host.after(12.0, lambda: setattr(world, "failed", FAILED))
    outcome = made(host).run()
    assert outcome.result == BROKEN
    assert outcome.said == "monitor of web2 failed on n2"


def commands_of(drill):
    host = Machine(World())
    made(host, drill).run()
    return host.count


DRILLS = ("link-cut", "corosync-killed", "links-cut")


@pytest.mark.parametrize("drill", DRILLS)
def test_an_interrupt_at_any_command_leaves_nothing(drill):
    for step in range(1, commands_of(drill) + 1):
        world = World()
        host = Machine(world, ends_at=step, by=KeyboardInterrupt)
        try:
            outcome = made(host, drill).run()
            assert outcome.result in (ABORTED, PASSED), (step, outcome.said)
        except KeyboardInterrupt:
            # Before and after the drill itself nobody holds it up.
            pass
        if journal.unfinished(host):
            undoing.recover(Reach(Machine(world), "n1"))
        assert world.fault != "link-cut", f"command {step}"


@pytest.mark.parametrize("drill", DRILLS)
def test_a_runner_that_is_killed_at_any_command_is_undone_by_the_next(drill):
    for step in range(1, commands_of(drill) + 1):
        world = World()
        host = Machine(world, ends_at=step, by=Killed)
        with pytest.raises(Killed):
            made(host, drill).run()
        later = Machine(world)
        later.clock = host.clock + 100
        had_done = bool(world.fault)
        said = undoing.recover(Reach(later, "n1"))
        assert len(said) == 1 or not had_done or not journal.unfinished(later), f"command {step}"
        assert world.fault != "link-cut", f"command {step}"
        assert not journal.unfinished(later)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_it_is_undone_is_heard_when_that_is_done(number):
    world = World()
    host = Machine(world)
    answer = host._answer

    def interrupted(argv):
        if argv == UNDO:
            os.kill(os.getpid(), number)
        return answer(argv)

    host._answer = interrupted
    outcome = made(host).run()
    assert (outcome.result, outcome.said) == (ABORTED, "it was ended from outside")
    assert world.fault == ""
    assert host.states[-1] == journal.UNDONE


def test_a_command_under_way_is_told_to_end_as_a_shell_s_background_hears_it():
    host = Machine(World())
    runner_ = made(host)
    runner_.course.command = 55
    told = []
    host.kill = lambda pid, number, still, wait: told.append((pid, number))
    host.wait = lambda pid, timeout: 0
    runner_._undo()
    assert told == [(55, signal.SIGTERM)]
    assert runner_.course.command == 0


def test_nothing_is_begun_where_a_node_cannot_be_watched(monkeypatch):
    class Deaf(Nodes):
        def __init__(self, reach, names, *words):
            super().__init__(reach, names[:1], *words)

    monkeypatch.setattr(runner, "Streams", Deaf)
    world = World()
    host = Machine(world)
    with pytest.raises(UserError, match="n2 cannot be watched"):
        made(host).run()
    assert (world.fault, host.states) == ("", [])


def test_a_target_that_refuses_ends_it_with_the_reason():
    world = World()
    host = Machine(world)
    answer = host._answer
    host._answer = lambda argv: (2, "", "no link 1") if "strike" in argv[-1] else answer(argv)
    outcome = made(host).run()
    assert (outcome.result, outcome.moments) == (ERROR, ())
    assert "no link 1" in outcome.said
