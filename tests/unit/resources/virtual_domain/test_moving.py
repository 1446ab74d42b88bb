"""migrate_to and migrate_from against libvirts that hang, lie and die, on both sides and between them."""

from __future__ import annotations

import pytest

from kvmha.host import CommandMissing, CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.policy.forecast import MOVED, Past
from kvmha.resources.virtual_domain import VirtualDomain, history
from kvmha.tools import ss
from kvmha.tools.libvirtd import LibvirtError, LibvirtLost, LibvirtSilent, Progress
from tests.fakes import HANGS, LOST, REFUSES, UNREACHABLE, FakeHost, FakeLibvirt
from tests.unit.resources.virtual_domain.calls import CONFIG, REMEMBERED, UUID, definition, reason

N1, N2 = "qemu+tcp://n1/system", "qemu+tcp://n2/system"


class Peer(FakeLibvirt):
    """The libvirt of the other node: what it has there is not in our process table, and it costs our time."""

    def __init__(self, host: FakeHost) -> None:
        own = FakeHost()
        own.now, own.sleep, own.after = host.now, host.sleep, host.after
        super().__init__(own)


@pytest.fixture
def target(host, libvirt) -> Peer:
    """Return the libvirt of n2, where guests go to."""
    host.files[CONFIG] = definition().encode()
    libvirt.elsewhere[N2] = Peer(host)
    return libvirt.elsewhere[N2]


@pytest.fixture
def source(host, libvirt) -> Peer:
    """Return the libvirt of n1, where guests come from."""
    host.files[CONFIG] = definition().encode()
    libvirt.elsewhere[N1] = Peer(host)
    return libvirt.elsewhere[N1]


def call(host, action, *, timeout=120.0, **params):
    begun = host.clock
    params = {"config": CONFIG, "migration_transport": "tcp", **params}
    env = {"instance": "web1", "migrate_source": "n1", "migrate_target": "n2"}
    code = perform(VirtualDomain, OcfEnv(action=action, params=params, timeout=timeout, **env), host)
    assert host.clock - begun <= timeout, f"{action} took {host.clock - begun} s of {timeout} s"
    return code


def executes(libvirt):
    """Tell whether a guest's processors run at this libvirt."""
    return [guest.identity.name for guest in libvirt.guests if guest.state == "running"] == ["web1"]


# ----------------------------------------------------------------------------- what an earlier move left

ORDER_ON_ITS_WAY = "0 5749 192.0.2.1:58630 192.0.2.2:16509\n"
LOOK, END = ss.orphans_argv("n2", 16509), ss.end_orphans_argv("n2", 16509)


def test_an_order_of_an_earlier_move_that_is_on_its_way_is_ended_first(host, libvirt, target, log):
    libvirt.run_guest()
    host.commands[LOOK] = ORDER_ON_ITS_WAY
    host.commands[END] = lambda: (host.commands.update({LOOK: ""}), ORDER_ON_ITS_WAY)[1]
    assert call(host, "migrate_to") == codes.SUCCESS
    assert (executes(target), host.ran.count(END)) == (True, 1)
    assert any("ending what an earlier move had still to say to n2" in line for line in log)


def test_a_kernel_that_cannot_end_it_is_waited_for(host, libvirt, target):
    libvirt.run_guest()
    host.commands.update({LOOK: ORDER_ON_ITS_WAY, END: ""})
    host.after(8.0, lambda: host.commands.update({LOOK: ""}))
    assert call(host, "migrate_to") == codes.SUCCESS
    assert executes(target)


def test_an_order_that_stays_on_its_way_keeps_the_guest_where_it_is(host, libvirt, target, capfd):
    libvirt.run_guest()
    host.commands.update({LOOK: ORDER_ON_ITS_WAY, END: ""})
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert reason(capfd) == "web1 was not moved, as an order of an earlier move is still on its way to n2"
    assert (executes(libvirt), libvirt.orders) == (True, [])


@pytest.mark.parametrize("answer", [CommandMissing, CommandTimeout, (1, "", "Error: an inet prefix is expected")])
def test_a_move_begins_though_nobody_can_say_what_is_on_its_way(host, libvirt, target, answer):
    libvirt.run_guest()
    host.commands[LOOK] = answer
    assert call(host, "migrate_to") == codes.SUCCESS
    assert executes(target)


# ----------------------------------------------------------------------------- it arrives


def test_a_guest_that_arrived_runs_there_and_has_nothing_left_here(host, libvirt, target):
    libvirt.run_guest()
    assert call(host, "migrate_to") == codes.SUCCESS
    assert (executes(target), host.processes) == (True, {})
    assert call(host, "stop") == codes.SUCCESS
    assert executes(target)


def counted(seconds):
    return Progress(
        elapsed_s=seconds, total_mib=256, processed_mib=100, remaining_mib=0, speed_mib_s=50, dirty_mib_s=3, round=2,
        downtime_ms=90, throttle=0, post_copy_requests=0, setup_ms=0, is_post_copy=False,
    )  # fmt: skip


def test_a_guest_takes_along_what_its_moves_were_and_the_next_one_is_forecast_from_that(host, libvirt, target):
    # As n2 had it, which is where the guest came from: this node has seen none of its moves.
    libvirt.notes["web1"] = history.render((
        Past(at=1.0, source="n2", target="n1", result=MOVED, seconds=7.0, memory_mib=256.0, speed_mib_s=50.0,
             dirty_mib_s=0.0, written_mib_s=11.0, sent_mib=100.0, schedule="default"),
    ))  # fmt: skip
    libvirt.run_guest()
    libvirt.dirty, libvirt.migration, target.counted = 12.0, 4.0, counted(4.0)
    assert call(host, "migrate_to") == codes.SUCCESS
    taken = history.parse(target.notes["web1"])
    assert taken == history.read(host, "web1")
    assert [(move.source, move.sent_mib) for move in taken] == [("n2", 100.0), ("n1", 100.0)]
    last = taken[-1]
    assert (last.written_mib_s, last.speed_mib_s, last.downtime_ms, last.forecast_s) == (12.0, 25.0, 90, 7.0)


def test_a_definition_that_is_kept_has_no_note_in_it(host, libvirt, target):
    libvirt.run_guest()
    assert call(host, "migrate_to", save_config_on_stop="true") == codes.SUCCESS
    assert (target.notes, len(history.read(host, "web1"))) == ({}, 1)


@pytest.mark.parametrize("trouble", [HANGS, REFUSES, UNREACHABLE])
def test_what_cannot_be_noted_keeps_no_guest_from_moving(host, libvirt, target, trouble):
    libvirt.trouble |= {"note": trouble, "last_dirty_mib_s": trouble}
    target.trouble["set_note"] = trouble
    libvirt.run_guest()
    assert call(host, "migrate_to") == codes.SUCCESS
    assert executes(target)


def test_a_guest_that_stood_still_before_its_move_may_stand_still_there(host, libvirt, target):
    libvirt.put_state(libvirt.run_guest(), "paused", "user")
    assert call(host, "migrate_to") == codes.SUCCESS
    assert [guest.state for guest in target.guests] == ["paused"]


def test_a_guest_whose_process_stays_behind_has_not_moved(host, libvirt, target, capfd):
    libvirt.run_guest()
    libvirt.hand_over = lambda guest, there: there.run_guest()
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert reason(capfd) == "web1 moved to n2, but its QEMU process is still here"


def test_a_move_that_ended_while_it_was_to_be_aborted_is_a_success_if_the_guest_runs_there(host, libvirt, target):
    libvirt.run_guest()
    libvirt.migration, libvirt.abort_works = 106.0, False
    assert call(host, "migrate_to") == codes.SUCCESS
    assert (executes(target), host.processes) == (True, {})


def test_a_rest_that_never_ran_again_is_removed_once_the_target_runs_the_guest(host, libvirt, target):
    libvirt.run_guest()

    def confirmation_is_lost(guest, there):
        there.run_guest()
        libvirt.put_state(guest, "paused", "migration")
        guest.is_moving = False
        raise LibvirtLost("is not reachable: End of file while reading data: Input/output error")

    libvirt.hand_over = confirmation_is_lost
    assert call(host, "migrate_to") == codes.SUCCESS
    assert (executes(target), host.processes) == (True, {})


# ------------------------------------------------------------------ it stays, and says why


def test_without_a_target_it_is_a_clean_error(host, libvirt, target, capfd):
    libvirt.run_guest()
    env = OcfEnv(action="migrate_to", params={"config": CONFIG}, instance="web1")
    assert perform(VirtualDomain, env, host) == codes.ERR_ARGS
    assert "without a target" in reason(capfd)
    assert libvirt.calls == []


def test_what_does_not_run_here_does_not_move(host, libvirt, target, capfd):
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert reason(capfd) == "web1 does not run here, so it cannot move to n2"


@pytest.mark.parametrize("trouble", [HANGS, REFUSES, UNREACHABLE, LOST])
def test_a_target_that_does_not_answer_is_not_moved_to(host, libvirt, target, trouble, capfd):
    libvirt.run_guest()
    target.trouble[""] = trouble
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert reason(capfd).startswith("web1 was not moved, as n2 does not answer: libvirt ")
    assert (executes(libvirt), libvirt.orders) == (True, [])


@pytest.mark.parametrize("where", ["here", "there"])
@pytest.mark.parametrize("trouble", [UNREACHABLE, LOST])
def test_a_libvirt_that_restarts_is_waited_for_before_the_move(host, libvirt, target, trouble, where):
    # Given up at once, it would cost a stop on both nodes and a cold start.
    libvirt.run_guest()
    away = libvirt if where == "here" else target
    away.trouble[""] = trouble
    host.after(8.0, away.trouble.clear)
    assert call(host, "migrate_to") == codes.SUCCESS
    assert executes(target)


@pytest.mark.parametrize("state", [("running", ""), ("paused", "migration")])
def test_a_target_that_has_the_guest_already_is_not_moved_to(host, libvirt, target, state, capfd):
    libvirt.run_guest()
    target.put_state(target.run_guest(), *state)
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert reason(capfd) == f"web1 was not moved, as n2 has a copy of it ({' '.join(filter(None, state))})"
    assert libvirt.orders == []


@pytest.mark.parametrize(
    ("named_by", "is_persistent"), [({"config": "", "domain": "web1"}, True), ({}, False)], ids=["domain", "config"]
)
def test_a_domain_that_the_target_has_defined_only_is_in_nobodys_way(host, libvirt, target, named_by, is_persistent):
    # Only a guest that its resource names as a persistent domain is defined on the target as well.
    libvirt.run_guest().is_persistent = True
    target.define_guest()
    assert call(host, "migrate_to", **named_by) == codes.SUCCESS
    assert libvirt.orders[0].is_persistent is is_persistent


@pytest.mark.parametrize("trouble", [HANGS, REFUSES, UNREACHABLE, LOST])
@pytest.mark.parametrize("method", ["domain", "migrate"])
def test_a_libvirt_here_that_does_not_do_it_leaves_the_guest_running(host, libvirt, target, trouble, method, capfd):
    libvirt.run_guest()
    libvirt.trouble[method] = trouble
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert reason(capfd)
    assert executes(libvirt)


@pytest.mark.parametrize("timeout", [20.0, 60.0, 120.0, 600.0])
@pytest.mark.parametrize("migration", [None, 700.0], ids=["never-ends", "too-long"])
def test_a_move_that_does_not_end_is_aborted_before_the_deadline(host, libvirt, target, timeout, migration, capfd):
    guest = libvirt.run_guest()
    libvirt.migration = migration
    assert call(host, "migrate_to", timeout=timeout) == codes.ERR_GENERIC
    assert reason(capfd).startswith("migration of web1 to n2 was aborted, and the guest runs on here: it had not ended")
    assert (guest.is_moving, executes(libvirt)) == (False, True)


@pytest.mark.parametrize("trouble", [HANGS, UNREACHABLE, REFUSES, None])
def test_a_move_that_could_not_be_aborted_is_not_called_aborted(host, libvirt, target, trouble, capfd):
    guest = libvirt.run_guest()
    libvirt.migration, libvirt.abort_works = None, False
    if trouble:
        libvirt.trouble["abort_job"] = libvirt.trouble["job"] = trouble
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert guest.is_moving
    said = reason(capfd)
    assert "was aborted" not in said
    assert "may still be under way; the guest runs here" in said


# --------------------------------------------------------------- the hand-over is in doubt


def hand_over(libvirt, *, here, there, error=LibvirtError):
    """Have the move fail in its last step with the guest in one state here and in another, or in none, there."""

    def fail(guest, target):
        if there:
            target.put_state(target.run_guest(), *there)
        libvirt.put_state(guest, *here)
        guest.is_moving = False
        raise error("says: internal error: client socket is closed")

    libvirt.hand_over = fail


RESUMED_HERE, LEFT_HERE = ("running", "migration canceled"), ("paused", "migration")


def test_a_guest_that_libvirt_resumed_runs_on_once_the_target_says_that_it_has_none(host, libvirt, target, capfd):
    libvirt.run_guest()
    hand_over(libvirt, here=RESUMED_HERE, there=None)
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "failed, and the guest runs on here" in reason(capfd)
    assert executes(libvirt)


def test_a_guest_that_libvirt_resumed_while_the_target_runs_it_is_paused_here_at_once(host, libvirt, target, capfd):
    libvirt.run_guest()
    hand_over(libvirt, here=RESUMED_HERE, there=("running", "migrated"))
    begun = host.clock
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "paused here because n2 runs it as well" in reason(capfd)
    assert (executes(libvirt), executes(target)) == (False, True)
    assert host.clock - begun < 3.0


@pytest.mark.parametrize("here", [RESUMED_HERE, LEFT_HERE], ids=["resumed", "left-paused"])
@pytest.mark.parametrize("trouble", [HANGS, UNREACHABLE, REFUSES, LOST])
def test_while_the_target_says_nothing_the_guest_stands_still_here(host, libvirt, target, here, trouble, capfd):
    libvirt.run_guest()
    hand_over(libvirt, here=here, there=None)
    fail = libvirt.hand_over

    def and_fall_silent(guest, there):
        target.trouble[""] = trouble
        fail(guest, there)

    libvirt.hand_over = and_fall_silent
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "is in doubt; the guest stands still here, and n2 does not answer" in reason(capfd)
    assert not executes(libvirt)


@pytest.mark.parametrize("here", [RESUMED_HERE, LEFT_HERE], ids=["resumed", "left-paused"])
def test_a_copy_that_may_still_be_told_to_run_keeps_the_guest_from_running_here(host, libvirt, target, here, capfd):
    libvirt.run_guest()
    hand_over(libvirt, here=here, there=("paused", "migration"))
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "the guest stands still here, and n2 has a copy that does not run" in reason(capfd)
    assert not executes(libvirt)
    # It is the target's own stop that removes it there.
    assert len(target.guests) == 1


@pytest.mark.parametrize("here", [RESUMED_HERE, LEFT_HERE], ids=["resumed", "left-paused"])
def test_a_copy_that_goes_lets_the_guest_run_here_again(host, libvirt, target, here, capfd):
    libvirt.run_guest()
    hand_over(libvirt, here=here, there=("paused", "migration"))
    host.after(4.0, lambda: target.end(target.guests[0]))
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "here" in reason(capfd)
    assert executes(libvirt)


def test_a_guest_that_is_nowhere_after_its_move_is_not_called_running(host, libvirt, target, capfd):
    libvirt.run_guest()

    def crash(guest, there):
        libvirt.end(guest)
        raise LibvirtError("says: operation failed: domain is not running")

    libvirt.hand_over = crash
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "runs neither here nor there" in reason(capfd)


def test_a_failed_post_copy_is_told(host, libvirt, target, capfd):
    libvirt.run_guest()
    hand_over(libvirt, here=("paused", "post-copy failed"), there=("paused", "post-copy failed"))
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "failed, and the guest is paused here (post-copy failed)" in reason(capfd)


def test_a_libvirt_here_that_died_in_the_last_step_is_waited_for(host, libvirt, target, capfd):
    libvirt.run_guest()
    hand_over(libvirt, here=LEFT_HERE, there=None, error=LibvirtLost)
    fail = libvirt.hand_over

    def and_die(guest, there):
        libvirt.trouble[""] = UNREACHABLE
        host.after(6.0, libvirt.trouble.clear)
        fail(guest, there)

    libvirt.hand_over = and_die
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "failed, and the guest was resumed here" in reason(capfd)
    assert executes(libvirt)


def test_a_libvirt_here_that_hangs_over_the_deadline_is_told(host, libvirt, target, capfd):
    libvirt.run_guest()
    libvirt.migration = None
    host.after(30.0, lambda: libvirt.trouble.update({"": HANGS}))
    assert call(host, "migrate_to") == codes.ERR_GENERIC
    assert "may still be under way; the guest runs here" in reason(capfd)


# -------------------------------------------------------------------- what belongs to a move


def needy():
    return definition(
        more="<devices><disk type='volume'><source pool='fast' volume='web1'/></disk>"
        "<interface type='network'><source network='guests'/></interface></devices>"
    )


def test_start_resources_starts_them_on_the_target(host, libvirt, target):
    libvirt.run_guest().xml = needy()
    assert call(host, "migrate_to", start_resources="true") == codes.SUCCESS
    assert [call for call in target.calls if call.startswith("start_")] == ["start_pool fast", "start_network guests"]
    assert [call for call in libvirt.calls if call.startswith("start_")] == []


def test_a_pool_that_does_not_start_there_keeps_the_guest_here(host, libvirt, target, capfd):
    libvirt.run_guest().xml = needy()
    target.trouble["start_pool fast"] = REFUSES
    assert call(host, "migrate_to", start_resources="true") == codes.ERR_GENERIC
    assert reason(capfd).startswith("web1 was not moved: on n2 the storage pool fast of the guest did not start")
    assert (executes(libvirt), libvirt.orders) == (True, [])


def test_the_definition_is_saved_before_the_guest_moves(host, libvirt, target):
    libvirt.run_guest().xml = changed = definition(more="<memory>1</memory>")
    assert call(host, "migrate_to", save_config_on_stop="true") == codes.SUCCESS
    assert host.files[CONFIG].decode() == changed


@pytest.mark.parametrize("state", [LEFT_HERE, ("running", "")])
def test_a_stop_at_the_target_removes_what_came_and_leaves_the_source_alone(host, libvirt, source, state):
    libvirt.put_state(libvirt.run_guest(), *state)
    source.run_guest()
    assert call(host, "stop") == codes.SUCCESS
    assert (host.processes, executes(source)) == ({}, True)


# ------------------------------------------------------------------------------- migrate_from


def test_migrate_from_takes_over_at_once_and_remembers(host, libvirt, source):
    libvirt.run_guest()
    begun = host.clock
    assert call(host, "migrate_from", timeout=60.0) == codes.SUCCESS
    assert host.clock == begun
    assert f"uuid={UUID}".encode() in host.files[REMEMBERED]


def test_migrate_from_keeps_a_guest_that_a_wrong_tuning_parameter_came_with(host, libvirt, source):
    libvirt.run_guest()
    assert call(host, "migrate_from", timeout=60.0, migration_speed="10M", migrate_options="--dname x") == codes.SUCCESS


def test_migrate_from_waits_while_the_guest_arrives(host, libvirt, source):
    source.run_guest()
    guest = libvirt.run_guest()
    libvirt.put_state(guest, "paused", "migration")
    host.after(8.0, lambda: libvirt.put_state(guest, "running", "migrated"))
    begun = host.clock
    assert call(host, "migrate_from", timeout=60.0) == codes.SUCCESS
    assert 8.0 <= host.clock - begun < 9.0
    assert "resume" not in libvirt.calls


def test_migrate_from_without_the_guest_fails_at_once(host, libvirt, source, capfd):
    begun = host.clock
    assert call(host, "migrate_from", timeout=60.0) == codes.ERR_GENERIC
    assert host.clock - begun < 1.0
    assert reason(capfd) == "web1 did not arrive from n1"
    assert REMEMBERED not in host.files


@pytest.mark.parametrize("trouble", [None, HANGS, UNREACHABLE, REFUSES])
def test_migrate_from_resumes_nothing_that_the_source_may_have(host, libvirt, source, trouble, capfd):
    libvirt.put_state(libvirt.run_guest(), "paused", "migration")
    source.put_state(source.run_guest(), "paused", "migration")
    if trouble:
        source.trouble[""] = trouble
    assert call(host, "migrate_from", timeout=60.0) == codes.ERR_GENERIC
    assert reason(capfd) == "web1 came from n1, and did not begin to run here"
    assert "resume" not in libvirt.calls


def test_migrate_from_resumes_what_the_source_provably_gave_up(host, libvirt, source):
    libvirt.put_state(libvirt.run_guest(), "paused", "migration")
    assert call(host, "migrate_from", timeout=60.0) == codes.SUCCESS
    assert executes(libvirt)


def test_migrate_from_of_a_guest_that_arrived_broken_fails(host, libvirt, source, capfd):
    libvirt.put_state(libvirt.run_guest(), "paused", "post-copy failed")
    assert call(host, "migrate_from", timeout=60.0) == codes.ERR_GENERIC
    assert "a post-copy migration failed" in reason(capfd)


@pytest.mark.parametrize("trouble", [HANGS, UNREACHABLE, REFUSES])
def test_migrate_from_needs_no_libvirt_for_a_guest_that_runs(host, libvirt, source, trouble):
    libvirt.run_guest()
    libvirt.trouble[""] = trouble
    assert call(host, "migrate_from", timeout=60.0) == codes.SUCCESS


def test_an_answer_that_did_not_come_is_not_an_abort(host, libvirt, target, capfd):
    """The daemons may lead the move (--p2p); then it goes on when the agent gives it up."""
    libvirt.run_guest()

    def silence(guest, there):
        raise LibvirtSilent("at qemu:///system did not answer within 103 s")

    libvirt.hand_over, libvirt.abort_works = silence, False
    assert call(host, "migrate_to", migrate_options="--p2p") == codes.ERR_GENERIC
    assert "may still be under way" in reason(capfd)
    assert "PEER2PEER" in libvirt.orders[0].flags
