"""The agent is killed at every point of every action, and what the cluster does then starts no second copy.

Each sweep kills it at the first call to the machine or to libvirt, at the second, and so on, in three ways: before the
call, after it, and with libvirt still to do what it was asked. Two nodes share one clock, and libvirt moves the guest
between them by itself once it was told to.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.resources.virtual_domain import VirtualDomain
from kvmha.tools import crm_mon
from kvmha.tools.libvirtd import Domain, LibvirtError, LibvirtSilent
from kvmha.tools.qemu_process import find
from tests.fakes import FakeHost, FakeLibvirt

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
CONFIG = "/etc/kvmha/guests/web1.xml"
NODES = ("n1", "n2")
BEFORE, AFTER, LATER = "before", "after", "later"
WAYS = (BEFORE, AFTER, LATER)
OF_THE_HOST = ("read_bytes", "write", "remove", "exists", "names", "pids", "cmdline", "exe", "kill", "run", "sleep")
OF_LIBVIRT = (
    "domain", "create", "shutdown", "end_for_good", "destroy", "abort_job", "job", "migrate", "wake", "suspend",
    "resume",
)  # fmt: skip
CHANGES = ("create", "shutdown", "end_for_good", "destroy", "abort_job", "migrate", "wake", "suspend", "resume")
"""What libvirt may still do after the agent that asked for it has gone."""


class Killed(BaseException):
    """SIGKILL: nothing catches it, and what is done on the way out has no effect on the world."""


class Fate:
    """When and how the agent of this call dies."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.way = BEFORE
        self.is_dead = False
        self.lateness = 1.5
        """Seconds after which libvirt does what a killed agent has asked it for."""
        self.is_orphan = False
        """Libvirt does something that nobody waits for any more."""
        self.count = 0
        self.depth = 0

    def begin(self, at: int | None, way: str) -> None:
        self.at, self.way, self.is_dead, self.count, self.depth = at, way, False, 0, 0

    def wrap(self, real, *, is_change: bool):
        def call(me, *given, **named):
            if self.depth:
                return real(me, *given, **named)
            if self.is_dead:
                raise Killed
            self.count += 1
            is_last = self.count == self.at
            if is_last and self.way != AFTER:
                self.is_dead = True
                if self.way == LATER and is_change:
                    host = getattr(me, "host", me)
                    host.after(self.lateness, lambda: self._act(real, me, given, named))
                raise Killed
            self.depth += 1
            try:
                return real(me, *given, **named)
            finally:
                self.depth -= 1
                if is_last:
                    self.is_dead = True
                    raise Killed

        return call

    def _act(self, real, me, given, named):
        """Do what nobody waits for any more."""
        self.depth += 1
        self.is_orphan = True
        try:
            real(me, *given, **named)
        except LibvirtError:
            pass
        finally:
            self.depth -= 1
            self.is_orphan = False


ORPHANS = ("goes on", "is aborted", "stands still on both sides", "runs there and stands still here")


class Daemon(FakeLibvirt):
    """A libvirt that moves a guest to another one by itself, whoever waits for that."""

    peers: dict[str, Daemon]
    fate: Fate
    orphan = "goes on"
    """What becomes of a move whose agent dies: ORPHANS."""

    def create(self, xml: str) -> Domain:
        if any(guest.is_active and guest.identity.uuid == UUID for guest in self.guests):
            raise LibvirtError("says: Requested operation is not valid: domain 'web1' is already active")
        return super().create(xml)

    def migrate(self, guest, order, timeout, watch=None):
        self._enter("migrate", limit=timeout)
        source = self._find(guest)
        if source is None:
            raise LibvirtError("says: Domain not found")
        target = self.peers[order.target_uri.partition("//")[2].partition("/")[0]]
        if target._find(guest) is not None:
            raise LibvirtError("says: domain 'web1' is already active")
        copy = target.run_guest(guest.name, guest.uuid, pid=7000 + len(self.calls))
        target.put_state(copy, "paused", "migration")
        source.is_moving = True
        if self.fate.is_orphan and self.orphan != "goes on":
            self._abandon(source, target, copy)
            return
        self.host.after(self.migration, lambda: self._finish(source, target, copy))
        until = self.host.now() + timeout
        while source.is_moving and self.host.now() < until:
            self.host.sleep(0.25)
            if watch is not None and source.is_moving:
                watch()
        if source.is_moving:
            raise LibvirtSilent("did not answer")
        if copy not in target.guests:
            raise LibvirtError("says: migration was lost")

    def _abandon(self, source, target, copy):
        """Leave a move as libvirt leaves it when the client that led it is gone."""
        source.is_moving = False
        if self.orphan == "is aborted":
            target.end(copy)
            return
        self.put_state(source, "paused", "migration")
        if self.orphan == "runs there and stands still here":
            target.put_state(copy, "running", "migrated")

    def _finish(self, source, target, copy):
        """Let the guest go on where it belongs: there if both sides are still in it, or here."""
        is_ready = copy in target.guests and copy.pid in target.host.processes
        if source.is_moving and is_ready and source.pid in self.host.processes:
            target.put_state(copy, "running", "migrated")
            self.end(source)
        elif is_ready and copy.state == "paused":
            target.end(copy)
        if source.is_moving:
            source.is_moving = False
            self.put_state(source, "running", "migration canceled")


class World:
    """Two nodes, the guest, and the cluster that calls the agent."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.hosts = {name: FakeHost() for name in NODES}
        first = self.hosts["n1"]
        self.clock = first
        for name in NODES[1:]:
            host = self.hosts[name]
            host.now, host.sleep, host.after = first.now, first.sleep, first.after
        self.daemons = {name: Daemon(host) for name, host in self.hosts.items()}
        for name, host in self.hosts.items():
            self.daemons[name].peers, self.daemons[name].fate = self.daemons, fate
            # Waiting repeats itself, and each repetition would be swept as well.
            self.daemons[name].acpi = self.daemons[name].migration = 0.6
            host.files[CONFIG] = f"<domain type='kvm'><name>web1</name><uuid>{UUID}</uuid></domain>".encode()
            host.commands[crm_mon.ARGV] = CLUSTER
        self.absent: set[str] = set()
        """Nodes of which the agent said last that the guest is not there."""
        self.story: list[str] = []

    def connect(self, host, uri, left):
        """Be the class Libvirt."""
        name = next(name for name, found in self.hosts.items() if found is host)
        far = uri.partition("//")[2].partition("/")[0] or name
        return self.daemons[far](self.hosts[far], uri, left)

    def call(self, node, action, at=None, way=BEFORE, **env) -> int | None:
        """Call the agent as the cluster does; None if it was killed."""
        self.fate.begin(at, way)
        params = {"config": CONFIG, "memory_check": "false", "migration_transport": "tcp"}
        env = OcfEnv(action=action, params=params, instance="web1", node=node, timeout=60.0, **env)
        try:
            code = perform(VirtualDomain, env, self.hosts[node])
        except Killed:
            code = None
        self.fate.begin(None, BEFORE)
        if code is None:
            # The cluster takes a moment to notice; the guest and the daemons live on in it.
            self.clock.sleep(0.1)
        self.story.append(f"{action} on {node}: {'killed' if code is None else code}")
        self._judge(node, action, code)
        return code

    def _judge(self, node, action, code):
        if (action, code) in (("stop", codes.SUCCESS), ("monitor", codes.NOT_RUNNING)):
            assert not self.has_process(node), f"claims absence: {self.story}"
            self.absent.add(node)
        elif action in ("start", "migrate_to"):
            self.absent.discard(node)
        self.check()

    def check(self):
        assert len(self.running()) <= 1, f"runs twice: {self.story}"

    def wait(self, seconds):
        """Let time pass, and see that nothing comes up twice in it."""
        for _ in range(int(seconds / 0.5)):
            self.clock.sleep(0.5)
            self.check()

    def has_process(self, node):
        return bool(self.daemons[node].guests and find(self.hosts[node], self.daemons[node].guests[0].identity))

    def running(self):
        return [
            name
            for name, daemon in self.daemons.items()
            for guest in daemon.guests
            if guest.pid in self.hosts[name].processes and guest.state == "running"
        ]

    # ------------------------------------------------------- what the cluster does

    def recover(self, order, start_on, *, probes):
        """Do what Pacemaker does after a failure: look, stop where it may be, and start it once."""
        if probes:
            order = [node for node in order if self.call(node, "monitor", interval=0.0) != codes.NOT_RUNNING]
        for node in order:
            assert self.call(node, "stop") == codes.SUCCESS, self.story
        self._start(start_on)
        self.wait(20.0)
        if not self.running():
            # A migration that the killed agent left had come so far that the start met its copy, which then ended.
            assert [self.call(node, "monitor") for node in NODES] == [codes.NOT_RUNNING] * 2, self.story
            self._start(start_on)
            self.wait(20.0)
        assert len(self.running()) == 1, f"runs nowhere: {self.story}"

    def _start(self, node):
        """Start the guest, elsewhere if it cannot be there."""
        if self.call(node, "start") != codes.SUCCESS:
            assert self.call(node, "stop") == codes.SUCCESS, self.story
            assert self.call("n2" if node == "n1" else "n1", "start") == codes.SUCCESS, self.story


CLUSTER = (
    "<pacemaker-result><summary/><nodes>"
    + "".join(f'<node name="{n}" id="{n[1]}" online="true" unclean="false" standby="false"/>' for n in NODES)
    + '</nodes><resources><resource id="web1" resource_agent="x" role="Stopped" active="false" failed="false">'
    "</resource></resources></pacemaker-result>"
)


@pytest.fixture
def fate(monkeypatch):
    fate = Fate()
    monkeypatch.setattr("kvmha.ocf.report.Report.log", lambda self, text, warning=False: None)
    monkeypatch.setattr("kvmha.tools.libvirtd.load", lambda: None)
    for cls, names in ((FakeHost, OF_THE_HOST), (FakeLibvirt, OF_LIBVIRT), (Daemon, ("create", "migrate"))):
        for name in names:
            monkeypatch.setattr(cls, name, fate.wrap(getattr(cls, name), is_change=name in CHANGES))
    return fate


@pytest.fixture
def worlds(fate, monkeypatch) -> Iterator[World]:
    """Return how to make a world, again and again."""

    def make() -> World:
        world = World(fate)
        monkeypatch.setattr("kvmha.tools.libvirtd.Libvirt", world.connect)
        return world

    return make


def started(world):
    assert world.call("n1", "start") == codes.SUCCESS
    return world


def moved(world):
    started(world)
    assert world.call("n1", "migrate_to", migrate_source="n1", migrate_target="n2") == codes.SUCCESS
    return world


SCENES = {
    # what is true before, the action that dies, on which node, and in which order Pacemaker stops afterwards: the
    # target of a failed migrate_to first, the source of a failed migrate_from first (seen with crm_simulate 2.1.5)
    "start": (lambda world: world, "start", "n1", ["n1"]),
    "stop": (started, "stop", "n1", ["n1"]),
    "migrate_to": (started, "migrate_to", "n1", ["n2", "n1"]),
    "migrate_from": (moved, "migrate_from", "n2", ["n1", "n2"]),
}


def sweep(worlds, scene, way, finish):
    """Kill the action at its first call, its second, and so on to its last; return how many there are."""
    prepare, action, node, order = SCENES[scene]
    env = {"migrate_source": "n1", "migrate_target": "n2"} if "migrate" in action else {}
    at = 1
    while True:
        world = prepare(worlds())
        if world.call(node, action, at, way, **env) is not None:
            return at - 1
        world.story.append(f"(at call {at}, {way})")
        finish(world, order)
        at += 1


@pytest.mark.parametrize("start_on", NODES)
@pytest.mark.parametrize("probes", [False, True], ids=["stops", "probes-and-stops"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", list(SCENES))
def test_an_agent_that_dies_leaves_at_most_one_running_guest(worlds, scene, way, probes, start_on):
    calls = sweep(worlds, scene, way, lambda world, order: world.recover(order, start_on, probes=probes))
    assert calls >= 4, "the action makes too few calls to be worth a sweep"


@pytest.mark.parametrize("start_on", NODES)
@pytest.mark.parametrize("probes", [False, True], ids=["stops", "probes-and-stops"])
@pytest.mark.parametrize("orphan", ORPHANS)
def test_a_move_whose_agent_died_ends_in_one_guest_whatever_libvirt_made_of_it(
    worlds, fate, monkeypatch, orphan, probes, start_on
):
    monkeypatch.setattr(Daemon, "orphan", orphan)
    fate.lateness = 0.0
    sweep(worlds, "migrate_to", LATER, lambda world, order: world.recover(order, start_on, probes=probes))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", list(SCENES))
def test_a_stop_on_both_nodes_after_that_is_the_end_of_it(worlds, scene, way):
    def finish(world, order):
        for node in (*order, *(node for node in NODES if node not in order)):
            assert world.call(node, "stop") == codes.SUCCESS, world.story
        world.wait(20.0)
        assert [node for node in NODES if world.has_process(node)] == [], world.story

    sweep(worlds, scene, way, finish)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", list(SCENES))
def test_a_stop_that_dies_as_well_is_made_up_for_by_the_next(worlds, scene, way):
    """Two deaths in a row: the second in the stop that cleans up after the first."""

    def finish(world, order):
        for at in (2, 5, 9, 14):
            world.call(order[0], "stop", at, AFTER)
        world.recover(order, "n2", probes=False)

    sweep(worlds, scene, way, finish)


def test_the_sweep_sees_a_copy_that_runs_twice(worlds):
    world = started(worlds())
    world.daemons["n2"].run_guest("web1", UUID, pid=99)
    with pytest.raises(AssertionError, match="runs twice"):
        world.check()


def test_the_sweep_sees_a_stop_that_lies(worlds, monkeypatch):
    world = started(worlds())
    monkeypatch.setattr("kvmha.resources.virtual_domain.stopping.GuestStop.run", lambda self: None)
    with pytest.raises(AssertionError, match="claims absence"):
        world.call("n1", "stop")
