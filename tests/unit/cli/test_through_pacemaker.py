"""One move as the cluster and libvirt show it, step by step: what it is called, and what is undone afterwards."""

from __future__ import annotations

import pytest

from kvmha.cli.moving import through_pacemaker
from kvmha.cli.moving.sight import Sight
from kvmha.cli.moving.through_pacemaker import LATE, MOVED, MOVING, NOWHERE, RESTARTED, STAYED, Move
from kvmha.host import CommandFailed, Completed
from kvmha.tools import cib, crm_mon
from kvmha.tools.cib import moves
from kvmha.tools.libvirtd import Progress
from tests.fakes import UNREACHABLE, FakeHost, FakeLibvirt

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
N2 = "qemu+tcp://n2/system"
CIB = """\
<cib validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/>
<resources><primitive id="web1" class="ocf" provider="kvmha" type="VirtualDomain"><instance_attributes id="i">
<nvpair id="i-c" name="config" value="/etc/web1.xml"/><nvpair id="i-t" name="migration_transport" value="tcp"/>
</instance_attributes><meta_attributes id="m"><nvpair id="m-a" name="allow-migrate" value="true"/></meta_attributes>
<operations><op id="o" name="migrate_to" interval="0s" timeout="120s"/></operations></primitive>{more}</resources>
<constraints>{constraints}</constraints></configuration><status>{status}</status></cib>"""
FAILED = """\
<node_state id="1" uname="n1"><lrm id="1"><lrm_resources><lrm_resource id="web1"><lrm_rsc_op id="web1_migrate_to_0"
operation="migrate_to" call-id="{call}" rc-code="1" op-status="0" exit-reason="{reason}"/>
</lrm_resource></lrm_resources></lrm></node_state>"""
MOVES = Progress(
    elapsed_s=1.0, total_mib=256, processed_mib=20, remaining_mib=200, speed_mib_s=100, dirty_mib_s=0, round=1,
    downtime_ms=0, throttle=0, post_copy_requests=0, setup_ms=10, is_post_copy=False,
)  # fmt: skip
PRIMARY = '<primitive id="primary" class="ocf" provider="kvmha" type="DRBDPrimary"/>'
TOGETHER = '<rsc_colocation id="c" rsc="web1" with-rsc="primary" score="INFINITY"/>'


def status(*nodes, pending=""):
    inside = "".join(f'<node name="{node}"/>' for node in nodes)
    word = f' pending="{pending}"' if pending else ""
    return (
        '<pacemaker-result><summary><current_dc present="true" with_quorum="true"/></summary><nodes>'
        + "".join(f'<node name="{n}" online="true" standby="false" unclean="false"/>' for n in ("n1", "n2", "n3"))
        + '</nodes><resources><resource id="web1" resource_agent="ocf:kvmha:VirtualDomain" role="Started" '
        f'active="{"true" if nodes else "false"}" failed="false"{word}>{inside}</resource></resources>'
        "</pacemaker-result>"
    )


class World:
    """A cluster whose configuration is one document, with a libvirt on two of its nodes."""

    def __init__(self, monkeypatch, *, more="", constraints=""):
        self.host = FakeHost()
        self.host.files["/proc/sys/kernel/hostname"] = b"n1\n"
        self.host.files["/etc/web1.xml"] = f"<domain><name>web1</name><uuid>{UUID}</uuid></domain>".encode()
        self.parts = {"more": more, "constraints": constraints, "status": ""}
        self.edited = None
        self.host.commands[cib.query_argv()] = self.text
        self.show("n1")
        self.here = FakeLibvirt(self.host)
        self.there = FakeLibvirt(FakeHost())
        self.here.elsewhere[N2] = self.there
        self.guest = self.here.run_guest("web1", UUID)
        self.settings = []
        monkeypatch.setattr("kvmha.cli.moving.sight.Libvirt", self.here)
        monkeypatch.setattr(cib, "change", self.change)
        for node in ("n1", "n2", "n3"):
            self.host.commands[("crm_resource", "--refresh", "--resource", "web1", "--node", node)] = ""
        self.host.commands[("crm_resource", "--wait", "--timeout=60s")] = ""
        self.sight = Sight(self.host)

    def text(self):
        return self.edited if self.edited is not None else CIB.format(**self.parts)

    def change(self, _host, edit, **_options):
        root = cib.tree(self.text())
        edit(root)
        self.edited = cib.text_of(root)
        operation = root.find(".//op[@name='migrate_to']")
        score = root.find(".//rsc_location/rule")
        self.settings.append((score.get("score") if score is not None else None, operation.get("on-fail")))

    def show(self, *nodes, pending=""):
        self.host.commands[crm_mon.ARGV] = status(*nodes, pending=pending)

    def fail(self, call=9, reason="why"):
        self.edited = self.text().replace("<status/>", f"<status>{FAILED.format(call=call, reason=reason)}</status>")

    def arrive(self, reason="migrated"):
        self.here.end(self.guest)
        self.there.put_state(self.there.run_guest("web1", UUID), "running", reason)

    def begun(self, **options):
        move = Move(self.sight, self.sight.guest("web1"), "n2", **options)
        move.begin()
        return move

    def look(self, move):
        self.sight.refresh()
        return move.look()

    def calm(self, move):
        """Look until the move is over, or as long as a second attempt may take to begin."""
        for _ in range(7):
            if self.look(move):
                return True
            self.host.sleep(1.0)
        return False

    def refreshed(self):
        return [argv[-1] for argv in self.host.ran if "--refresh" in argv]


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_a_move_waits_for_the_cluster_and_for_libvirt(world):
    move = world.begun()
    assert (world.look(move), move.state) == (False, MOVING)
    world.show("n1", "n2", pending="Migrating")
    assert not world.look(move)
    world.show("n2")
    assert not world.look(move), "libvirt does not have it there yet"
    world.arrive()
    assert (world.look(move), move.state) == (True, MOVED)
    move.finish()
    assert world.settings == [("INFINITY", "block"), (None, None)]
    assert world.refreshed() == []
    assert move.result().reason == ""


def test_a_move_that_is_given_up_leaves_the_guest_and_is_forgotten_where_it_does_not_run_first(world):
    move = world.begun()
    world.fail()
    assert not world.look(move)
    assert (world.calm(move), move.state, move.reason) == (True, STAYED, "why")
    move.finish()
    # The failure is forgotten while the cluster still leaves the guest alone, and has nothing to move it for.
    assert world.settings == [("INFINITY", "block"), ("0", "block"), (None, None)]
    assert world.refreshed() == ["n2", "n3", "n1"]


def test_an_old_failure_is_not_this_moves(world):
    world.edited = CIB.format(more="", constraints="", status=FAILED.format(call=7, reason="old"))
    move = world.begun()
    assert (world.look(move), move.reason) == (False, "")


def test_a_reason_that_the_cluster_does_not_keep_is_told_from_what_was_seen(world):
    move = world.begun()
    world.fail(reason="")
    world.look(move)
    assert move.reason == "migrate_to failed on n1; its log has the reason"


def test_a_guest_that_was_booted_there_is_not_called_moved(world):
    move = world.begun()
    world.fail()
    world.show("n2")
    world.arrive(reason="booted")
    assert (world.look(move), move.state) == (True, RESTARTED)
    move.finish()
    assert world.refreshed() == ["n1", "n3", "n2"]


def test_a_guest_that_is_gone_is_told(world):
    move = world.begun()
    world.fail()
    world.here.end(world.guest)
    world.show()
    assert (world.look(move), move.state) == (True, NOWHERE)


def test_a_cluster_that_does_nothing_is_not_waited_for_for_ever(world):
    move = world.begun()
    world.host.sleep(500.0)
    assert (world.look(move), move.state) == (True, LATE)


def test_a_cold_move_forbids_the_live_one_for_its_time(world):
    move = world.begun(is_cold=True)
    assert 'name="allow-migrate" value="false"' in world.edited
    world.show("n2")
    world.arrive(reason="booted")
    assert (world.look(move), move.state) == (True, MOVED)
    move.finish()
    assert 'name="allow-migrate" value="true"' in world.edited
    assert moves.wished(cib.tree(world.edited)) == ()


def test_a_guest_is_between_until_it_is_seen_to_move_after_its_primary_role(monkeypatch):
    world = World(monkeypatch, more=PRIMARY, constraints=TOGETHER)
    waiting = Move(world.sight, world.sight.guest("web1"), "n2")
    assert not waiting.is_between
    move = world.begun()
    assert move.is_between
    move.progress = MOVES
    assert not move.is_between
    assert not world.begun(is_cold=True).is_between


def test_a_guest_without_a_primary_role_is_never_between(world):
    assert not world.begun().is_between


def test_a_guest_whose_primary_role_moves_with_it_is_not_left_half_moved(monkeypatch):
    world = World(monkeypatch, more=PRIMARY, constraints=TOGETHER)
    move = world.begun()
    assert world.settings == [("INFINITY", None)]
    world.fail()
    # The cluster stops it on both sides now, and starts it.
    assert (world.look(move), move.state) == (False, MOVING)


def test_an_abort_is_libvirts_and_the_operators_word(world):
    world.guest.is_moving = True
    move = world.begun()
    move.abort()
    assert (world.guest.is_moving, move.reason) == (False, "aborted by the operator")


def test_an_abort_that_comes_before_the_move_has_begun_is_repeated(world):
    move = world.begun()
    move.abort()
    assert (world.look(move), move.reason) == (False, "")
    world.guest.is_moving = True
    assert not world.look(move)
    assert (world.guest.is_moving, move.reason) == (False, "aborted by the operator")
    world.fail()
    assert (world.calm(move), move.state) == (True, STAYED)


def test_a_second_attempt_that_waited_behind_the_first_is_seen_through(world):
    """The cluster asked twice; the guest is not looked at anew while the second attempt moves it."""
    world.here.course = lambda _seconds: MOVES
    move = world.begun()
    world.fail()
    assert not world.look(move)
    world.host.sleep(3.0)
    world.guest.is_moving = True
    assert not world.calm(move)
    world.guest.is_moving = False
    world.show("n2")
    world.arrive()
    assert (world.look(move), move.state) == (True, MOVED)
    assert world.refreshed() == []
    move.finish()
    assert world.refreshed() == ["n1", "n3", "n2"]


def test_an_abort_that_libvirt_did_not_answer_is_still_the_operators(world):
    world.here.trouble["abort_job"] = UNREACHABLE
    move = world.begun()
    move.abort()
    world.fail(reason="operation aborted")
    assert (world.calm(move), move.state) == (True, STAYED)
    assert move.reason == "aborted by the operator: operation aborted"


def test_an_abort_of_a_move_that_never_begins_ends(world):
    world.here.trouble["abort_job"] = UNREACHABLE
    move = world.begun()
    move.abort()
    world.host.sleep(20.0)
    assert (world.look(move), move.state, move.reason) == (True, STAYED, "aborted by the operator before it began")


def test_a_failure_that_cannot_be_forgotten_is_kept_from_the_cluster_and_ended_by_the_next_run(world):
    move = world.begun()
    world.fail()
    world.calm(move)
    argv = ("crm_resource", "--refresh", "--resource", "web1", "--node", "n2")

    def fail():
        raise CommandFailed(Completed(argv=argv, rc=1, out="", err="no"))

    world.host.commands[argv] = fail
    with pytest.raises(CommandFailed):
        move.finish()
    assert world.settings[-1] == ("0", "block")
    world.host.commands[argv] = ""
    world.host.ran.clear()
    again = world.begun()
    assert world.refreshed() == ["n2", "n3", "n1"]
    again.finish()
    assert world.settings[-1] == (None, None)


def test_all_ends_are_known():
    assert set(through_pacemaker.OVER) == {MOVED, STAYED, RESTARTED, NOWHERE, LATE}
