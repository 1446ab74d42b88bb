"""Whoever dies in the middle of whichever drill, at whichever step: nothing of it is left.

The nodes are values with what a drill can do to them: rules, daemons that stand still, programs, files, tables. Their
own half of a drill is the real one, made and undone by commands that change these values.
"""

from __future__ import annotations

import argparse
import json
import shlex

import pytest

from kvmha.cli.drill import ordering
from kvmha.drill import catalogue, faults, journal, runner, striking, undoing, waiting
from kvmha.drill.faults import making
from kvmha.drill.faults.plan import WORK_UNIT
from kvmha.drill.reach import Reach
from kvmha.drill.records import COMMANDS, ELSEWHERE, EVERY, OTHERS, Expected, Order
from kvmha.drill.runner import Runner
from kvmha.drill.stage import Stage
from kvmha.drill.watch import Known
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.record import plain
from kvmha.tools import cib, corosync_conf, crm_mon, ip_address, ssh
from tests.fakes import FakeHost
from tests.unit.drill.test_faults import ADDRESSES, PATHS, UUID, Node, changes, furnish

NAMES = ("n1", "n2", "n3")
DRILLS = {drill.name: drill for drill in catalogue.DRILLS}
OWN = [name for name in DRILLS if name in faults.PLANS]
HOLD_S = 10.0


class Killed(BaseException):
    """Whoever did it is gone: no finally of theirs goes on."""


class Member(Node):
    """A node, as commands change it."""

    def __init__(self, name, world):
        super().__init__()
        self.node, self.world = name, world
        furnish(self)
        third = b"nodelist {\n  node {\n    name: n3\n    ring0_addr: 10.77.0.13\n    ring1_addr: 10.77.1.13\n  }"
        path = corosync_conf.PATH
        self.files.update({"/proc/sys/kernel/hostname": f"{name}\n".encode()})
        self.files[path] = self.files[path].replace(b"nodelist {", third)
        self.commands[ip_address.ARGV] = ADDRESSES.replace(".12", f".1{name[-1]}")
        self.wrong = set()
        self.late = self.heals_at = None
        self.timer_at = None
        self.dies_at = None
        self.is_dead = False
        self.count = 0

    def run(self, *argv, given="", **options):
        self.count += 1
        self.is_dead = self.is_dead or self.dies_at == (self.count, "before")
        if self.is_dead:
            raise Killed
        if not self.world.is_asked(argv):
            self.commands[argv] = self._change(argv, given or "")
        done = super().run(*argv, given=given, **options)
        self.is_dead = self.dies_at == (self.count, "after")
        if self.is_dead:
            raise Killed
        return done

    def kill(self, pid, signal, *, still, wait):
        self.processes.pop(pid, None)
        return True

    def start(self, *argv, log, env=None):
        return 4711

    def _change(self, argv, given):
        unit = next((word.partition("=")[2] for word in argv if word.startswith("--unit=")), "")
        if unit == making.UNIT:
            delay = next(word for word in argv if word.startswith("--on-active="))
            self.timer_at = self.clock + float(delay.partition("=")[2])
        elif unit == making.LATE_UNIT:
            act = argv[argv.index("late") + 1 :]
            if "cut-and-heal" in act:
                self.late = (float(act[4]), ("nft", "-f", "-"))
                self.heals_at = float(act[4]) + float(act[5])
            else:
                self.late = (self.clock + faults.BREATH_S, act)
        elif unit == WORK_UNIT:
            self.wrong.add("work")
        elif argv[:3] == ("nft", "-f", "-"):
            self.wrong.add("rules")
        elif argv[:2] == ("nft", "delete"):
            return self._gone("rules", "Error: No such file or directory")
        elif argv[:3] == ("tc", "qdisc", "add"):
            self.wrong.add("queue")
        elif argv[:3] == ("tc", "qdisc", "del"):
            return self._gone("queue", "Error: Cannot delete qdisc with handle of zero.")
        elif argv[0] == "kill" and argv[1] == "-STOP":
            self.wrong.add("still")
        elif argv[:2] == ("systemctl", "kill"):
            if "--signal=SIGSTOP" in argv:
                self.wrong.add("still")
            if "--signal=SIGCONT" in argv:
                self.wrong.discard("still")
        elif argv[:2] == ("systemctl", "poweroff"):
            self.world.goes_down_at = self.clock
        elif argv[:2] == ("systemctl", "stop"):
            return self._stopped(argv[2:])
        elif argv[:2] == ("dmsetup", "wipe_table"):
            self.wrong.add("table")
        elif argv[:2] == ("dmsetup", "load"):
            assert self.files[argv[3]] == b"0 2048 linear 8:1 0\n"
        elif argv[:2] == ("dmsetup", "resume"):
            self.wrong.discard("table")
        elif argv[0] == "sh" and "fill" in argv:
            self.wrong.add("full")
        elif argv[:2] == ("rm", "-f"):
            self.wrong.discard("full")
        return ""

    def _gone(self, what, said):
        if what not in self.wrong:
            return (1, "", said)
        self.wrong.discard(what)
        return ""

    def _stopped(self, units):
        if f"{making.LATE_UNIT}.timer" in units:
            if self.late is None and self.heals_at is None:
                return (5, "", "Failed to stop kvmha-drill-late.timer: Unit kvmha-drill-late.timer not loaded.")
            self.late = self.heals_at = None
        if f"{WORK_UNIT}.service" in units:
            return self._gone("work", "Failed to stop: Unit kvmha-drill-work.service not loaded.")
        if f"{making.UNIT}.timer" in units:
            self.timer_at = None
        return ""

    def forget(self):
        """Boot anew."""
        self.wrong.clear()
        self.late = self.timer_at = None
        self.files.pop(faults.STATE, None)

    def let_pass(self, now):
        """Let come what systemd has been told to do by now."""
        self.clock = now
        if self.late is not None and now >= self.late[0]:
            argv, self.late = self.late[1], None
            self._change(argv, "")
        if self.heals_at is not None and now >= self.heals_at:
            self.heals_at = None
            self.wrong.discard("rules")
        if self.timer_at is not None and now >= self.timer_at:
            self.timer_at = None
            self.dies_at, self.is_dead = None, False
            faults.undo(self)


STATUS = """<crm_mon><summary><current_dc present="true" with_quorum="{quorum}"/></summary>
<nodes>{nodes}</nodes><resources><resource id="web1" active="true" managed="true"><node name="{place}"/></resource>
</resources><fence_history>{fenced}</fence_history></crm_mon>"""
FENCED = '<fence_event target="n2" action="reboot" status="success" completed="2026-11-23 10:00:00Z"/>'


class World:
    """What is outside the runner, and goes on without it."""

    def __init__(self, drill):
        self.drill = DRILLS[drill]
        self.struck_at = None
        self.goes_down_at = None
        self.files = {}
        self.standby = set()
        self.was_off = False
        self.power = {"n2": "on"}
        self.members = {name: Member(name, self) for name in NAMES}

    def is_asked(self, argv):
        asks = ("show", "is-active", "info", "--showkeys", "dump", "ahosts", "--container", "-json", "unshare")
        return argv == cib.query_argv() or bool(set(asks) & set(argv))

    def let_pass(self, now):
        if self.goes_off and now - self.goes_down_at > 3:
            self.power["n2"], self.was_off = "off", True
        for member in self.members.values():
            member.let_pass(now)
        if self.is_away(now):
            self.members["n2"].forget()

    @property
    def goes_off(self):
        """Tell whether n2 is on its way down; it was told so a moment after it had answered."""
        return self.goes_down_at is not None and not self.was_off

    def is_away(self, now):
        return (
            self.struck_at is not None and self.drill.leads_to in ("fenced", "left") and 3 < now - self.struck_at < 30
        )

    def status(self, now):
        away, struck = self.is_away(now), self.struck_at is not None
        fenced = struck and self.drill.leads_to == "fenced" and now - self.struck_at > 3
        parted = "rules" in self.members["n2"].wrong and self.drill.leads_to == "parted"
        nodes = "".join(
            f'<node name="{name}" online="{str(not (away and name == "n2")).lower()}" '
            f'standby="{str(name in self.standby).lower()}" unclean="false"/>'
            for name in NAMES
        )
        return STATUS.format(
            quorum=str(not parted).lower(), nodes=nodes, place="n1" if fenced or away else "n2",
            fenced=FENCED if fenced else "",
        )  # fmt: skip

    def wrong(self):
        """Return what is not as it was."""
        found = {name: sorted(member.wrong) for name, member in self.members.items() if member.wrong}
        found.update({name: ["late"] for name, member in self.members.items() if member.late})
        found.update({f"{name} drill": ["noted"] for name, m in self.members.items() if faults.STATE in m.files})
        found.update({name: ["standby"] for name in self.standby})
        found.update({name: ["off"] for name, state in self.power.items() if state == "off"})
        return found


class Machine(FakeHost):
    """The runner's node; it dies at a call out of it, before or after that was carried out."""

    def __init__(self, world, dies_at=None):
        super().__init__()
        self.world = world
        self.files = world.files
        self.dies_at = dies_at
        self.count = 0
        self.is_dead = False

    def wall_clock(self):
        return self.clock

    def sleep(self, seconds):
        super().sleep(seconds)
        self.world.let_pass(self.clock)

    def _call(self, make):
        if self.is_dead:
            raise Killed
        self.count += 1
        if self.dies_at == self.count and self.count % 2:
            self.is_dead = True
            raise Killed
        try:
            return make()
        finally:
            if self.dies_at == self.count:
                self.is_dead = True
                raise Killed

    def write(self, path, text, mode=0o644):
        if self.is_dead:
            raise Killed
        super().write(path, text, mode)

    def run(self, *argv, **options):
        def make():
            self.commands[argv] = self._answer(argv)
            return super(Machine, self).run(*argv, **options)

        return self._call(make)

    def start(self, *argv, log, env=None):
        def make():
            if argv[1] == "drain":
                self.world.standby.add(argv[2])
            if argv[1] == "undrain":
                self.world.standby.discard(argv[2])
            return 4711

        return self._call(make)

    def wait(self, pid, *, timeout):
        return 0

    def switch(self, host, facts, node, here, action):
        def make():
            if action == "status":
                return self.world.power[node]
            self.world.power[node] = {"reboot": "on"}.get(action, action)
            self.world.struck_at = self.clock if action in ("off", "reboot") else self.world.struck_at
            return action

        return self._call(make)

    def _answer(self, argv):
        world = self.world
        if argv == crm_mon.ARGV:
            return world.status(self.clock)
        if argv == cib.query_argv():
            return "<cib><configuration/><status/></cib>"
        if argv[0] == "crm_attribute":
            world.standby.clear()
            return ""
        for name in NAMES:
            words = shlex.split(argv[-1]) if argv[:-1] == ssh.argv(name, "x")[:-1] else None
            words = list(argv) if name == "n1" and argv[:1] in (("kvmha",), ("systemctl",)) else words
            if words is not None:
                return self._at(world.members[name], words)
        return ""

    def _at(self, member, words):
        member.clock = self.clock
        if words[0] == "systemctl":
            return "stopping\n" if self.world.goes_off else "running\n"
        if member.node == "n2" and self.world.is_away(self.clock):
            return (255, "", "ssh: No route to host")
        if words[3] == "strike":
            told = json.loads(words[-1])
            made = faults.strike(member, words[5], faults.Fault(**{**told, "links": tuple(told["links"])}))
            self.world.struck_at = self.clock
            return json.dumps(plain(made))
        if words[3] == "undo":
            return json.dumps({"undone": list(faults.undo(member))})
        if words[3] == "hunted":
            return json.dumps({"at": self.clock})
        return ""


class Nodes:
    """The nodes' looks at themselves: the guest has a new process once the drill was made."""

    def __init__(self, reach, nodes, *words):
        self.host, self.nodes = reach.host, nodes
        self.offsets = dict.fromkeys(nodes, 0.0)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def read(self, seconds):
        world = self.host.world
        self.host.sleep(seconds)
        is_new = world.struck_at is not None and self.host.clock - world.struck_at > 3
        is_new = is_new and world.drill.leads_to == "restarted"
        guest = {UUID: {"name": "web1", "pid": 701 if is_new else 700, "executes": True}}
        place = "n1" if world.is_away(self.host.clock) else "n2"
        told = [(node, guest if node == place else {}) for node in self.nodes]
        return [(node, {"at": self.host.clock, "guests": guests, "addresses": []}) for node, guests in told]


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    monkeypatch.setattr(runner, "Streams", Nodes)

    class Fencing:
        @staticmethod
        def live(host):
            return argparse.Namespace(fencing_of=lambda node: ())

        @staticmethod
        def switch(host, *words):
            return host.switch(host, *words)

    for module in (striking, undoing, waiting):
        monkeypatch.setattr(module, "fencing", Fencing)


def made(host, name):
    drill = DRILLS[name]
    nodes = {EVERY: ("n3", "n2", "n1"), OTHERS: ("n2",), ELSEWHERE: ("n3",)}.get(drill.made_on, ())
    order = Order(
        drill=name, node="n2", guest="web1", link="1" if drill.has_link else "", hold_s=HOLD_S, limit_s=60.0,
        nodes=nodes, guests=("web1",), path=PATHS.get(name, ""),
    )  # fmt: skip
    stage = Stage(
        nodes=NAMES, cluster="demo", known=Known(guests={UUID: "web1"}, names={}, addresses={}), uuids={"web1": UUID},
        targets=(), expected=Expected(), gates=(), elsewhere="n3",
    )  # fmt: skip
    return Runner(host, Reach(host, "n1"), order, stage, lambda _text: None)


def calls_of(name):
    world = World(name)
    host = Machine(world)
    outcome = made(host, name).run()
    return host.count, outcome, world


def steps(count):
    """Return where to die: at each of the first calls, and then at every seventh."""
    return [step for step in range(1, count + 1) if step < 25 or step % 7 == 0 or step > count - 6]


@pytest.mark.parametrize("name", DRILLS)
def test_it_ends_as_it_should_and_leaves_nothing(name):
    _, outcome, world = calls_of(name)
    assert (outcome.result, outcome.breaches) == ("passed", ()), (outcome.said, outcome.log)
    assert world.wrong() == {}


@pytest.mark.parametrize("name", DRILLS)
def test_when_the_runner_dies_the_next_command_undoes_it(name):
    for step in steps(calls_of(name)[0]):
        world = World(name)
        host = Machine(world, dies_at=step)
        with pytest.raises(Killed):
            made(host, name).run()
        later = Machine(world)
        # Directly, and not when all timers have done it already.
        later.clock = host.clock + 0.1
        undoing.recover(Reach(later, "n1"))
        # What was on its way comes.
        for _ in range(6):
            later.sleep(1.0)
        assert world.wrong() == {}, f"call {step} of {host.count}"
        assert not journal.unfinished(later)


# A node that is off is switched on by the next command: nobody else can.
WITHOUT_HELP = [name for name in OWN if DRILLS[name].made_by != COMMANDS and name != catalogue.SHUTDOWN]


@pytest.mark.parametrize("name", WITHOUT_HELP)
def test_when_the_runner_dies_and_nobody_comes_the_nodes_undo_it_themselves(name):
    for step in steps(calls_of(name)[0]):
        world = World(name)
        host = Machine(world, dies_at=step)
        with pytest.raises(Killed):
            made(host, name).run()
        for _ in range(60):
            host.clock += 1.0
            world.let_pass(host.clock)
        assert world.wrong() == {}, f"call {step} of {host.count}"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", OWN)
def test_when_the_node_s_own_half_dies_its_timer_undoes_it(name, when):
    step = 0
    while True:
        step += 1
        world = World(name)
        member = world.members["n2"]
        member.dies_at = (step, when)
        fault = striking.fault(made(Machine(world), name).course.order, made(Machine(world), name).stage, "d1")
        try:
            faults.strike(member, "n2", faults.Fault(**{**fault, "links": tuple(fault["links"])}))
        except Killed:
            pass
        else:
            break
        for second in range(60):
            member.let_pass(member.clock + 1.0 if second else member.clock)
        # Where even the timer was not set yet nothing was done; that it should be is noted, for the next command.
        assert world.wrong() in ({}, {"n2 drill": ["noted"]}), f"command {step}: {member.ran}"
        assert not world.wrong() or not changes(member)
    assert step > 1 or name in ("hang", "qemu-killed")


def test_a_node_that_fails_to_undo_keeps_nobody_else_from_it():
    world = World("partition")
    host = Machine(world)
    order = made(host, "partition").course.order
    stage = made(host, "partition").stage
    told = json.dumps({**striking.fault(order, stage, "d1"), "at": host.clock + 5.0})
    for name in order.targets:
        words = ["kvmha", "drill", "at-node", "strike", "--node", name, told]
        assert json.loads(host._at(world.members[name], words))["said"]
    host.sleep(6.0)
    assert set(world.wrong()) >= {"n1", "n2", "n3"}
    failing = world.members["n3"]
    failing.failing["nft", "delete", "table", "inet", faults.TABLE] = (1, "", "Error: Device or resource busy")
    failing.heals_at = None
    failing._change = lambda argv, given: (1, "", "Error: Device or resource busy") if argv[0] == "nft" else ""
    answer = host._at

    def at(member, words):
        try:
            return answer(member, words)
        except (CommandError, UserError) as error:
            return (2, "", str(error))

    host._at = at
    failing.timer_at = None
    with pytest.raises(UserError, match="n3 could not be asked to undo partition"):
        undoing.undo(Reach(host, "n1"), order)
    assert set(world.wrong()) == {"n3", "n3 drill"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        pytest.param(("n1", "n2"), "partition is for three nodes and more; links-cut parts two", id="two"),
        pytest.param(("n1",), "partition is for three nodes and more", id="one"),
    ],
)
def test_a_cluster_that_is_too_small_to_be_parted_is_told_so(members, said):
    snapshot = argparse.Namespace(
        members=[argparse.Namespace(name=name) for name in members], cluster="demo", guests=()
    )
    args = argparse.Namespace(node=None, guest=None, hold=None, path="", size="")
    with pytest.raises(UserError, match=said):
        ordering.order(args, DRILLS["partition"], snapshot, FakeHost(), "n1")
