"""What the monitor says in each state, and what it does beside that."""

from __future__ import annotations

import pytest

from kvmha.host import CommandMissing, CommandTimeout
from kvmha.resources.drbd import FENCE_MARKS


def test_a_replica_in_step_is_running(act, said):
    assert (act("monitor"), said) == (0, [])


def test_a_promoted_one_is_running_promoted(act, drbd, said):
    drbd.role = "Primary"
    assert (act("monitor"), said) == (8, [])


def test_what_is_down_is_not_running(act, drbd):
    drbd.is_up = False
    assert act("monitor") == 7


def test_without_the_module_nothing_runs_and_no_command_is_started_that_would_load_it(act, drbd, host):
    del host.files["/proc/drbd"]
    assert act("monitor") == 7
    assert act("monitor", interval=0.0) == 7
    assert drbd.ran == []


def test_a_healthy_monitor_is_one_command_and_changes_nothing(act, drbd, host):
    act("monitor")
    before = dict(host.files)
    drbd.ran.clear()
    assert act("monitor") == 0
    assert drbd.ran == [("drbdsetup", "events2", "--now", "r0")]
    assert host.files == before


@pytest.mark.parametrize(
    ("state", "code", "word"),
    [
        pytest.param({"peer_disk": "Inconsistent", "replication": "SyncSource"}, 190, "SyncSource", id="resync"),
        pytest.param({"disk": "Diskless"}, 190, "the disk of volume 0 is Diskless", id="diskless"),
        pytest.param({"role": "Primary", "disk": "Diskless"}, 191, "is Diskless", id="diskless-promoted"),
        pytest.param({"connection": "StandAlone"}, 190, "n2 is cut off (StandAlone)", id="split-brain"),
        pytest.param(
            {"role": "Primary", "disk": "Diskless", "peer_disk": "Inconsistent"}, 9, "no peer has its data", id="failed"
        ),
        pytest.param({"role": "Primary", "suspended": "fencing"}, 191, "suspended (fencing)", id="suspended"),
    ],
)
def test_a_shortfall_has_its_code_and_reason(act, drbd, said, state, code, word):
    vars(drbd).update(state)
    assert act("monitor") == code
    assert said[-1].startswith("r0: ")
    assert word in said[-1]


def test_a_shortfall_is_only_running_where_that_is_wanted(act, drbd, said):
    drbd.disk = "Diskless"
    assert (act("monitor", on_degraded="running"), said) == (0, [])
    drbd.role = "Primary"
    assert act("monitor", on_degraded="running") == 8


def test_io_that_stays_suspended_is_a_failure_after_its_time(act, drbd, host, said):
    drbd.role, drbd.suspended = "Primary", "fencing"
    assert act("monitor") == 191
    host.sleep(59)
    assert act("monitor") == 191
    host.sleep(2)
    assert act("monitor") == 9
    assert "has been suspended for 61 s (fencing)" in said[-1]
    drbd.suspended = "no"
    assert act("monitor") == 8
    drbd.suspended = "fencing"
    assert act("monitor") == 191, "a new suspension has its own time"


def test_in_a_plain_clone_the_role_is_not_shown(act, drbd):
    plain = {"clone": "0", "clone_max": "2", "notify": "true"}
    drbd.role = "Primary"
    assert act("monitor", meta=plain) == 0
    drbd.disk = "Diskless"
    assert act("monitor", meta=plain) == 190
    drbd.peer_disk = "Inconsistent"
    assert act("monitor", meta=plain) == 1
    assert "drbd-r0" not in drbd.attributes


def test_a_resource_without_volumes_is_neither_up_nor_down(act, drbd, said, monkeypatch):
    monkeypatch.setattr(drbd, "_events", lambda: "exists resource name:r0 role:Secondary suspended:no\nexists -\n")
    assert act("monitor") == 1
    assert "half brought up" in said[-1]


@pytest.mark.parametrize("trouble", [CommandMissing, CommandTimeout, (20, "Failed to open netlink\n")])
def test_what_cannot_be_told_is_1_and_never_7(act, drbd, said, trouble, monkeypatch):
    monkeypatch.setattr(drbd, "_drbdsetup", lambda argv: trouble)
    assert act("monitor") == 1
    assert act("monitor", interval=0.0) == 1
    assert "drbdsetup" in said[-1]


def test_slow_is_not_dead_for_a_while(act, drbd, host, said, monkeypatch):
    drbd.role = "Primary"
    assert act("monitor") == 8
    answers = drbd._drbdsetup
    monkeypatch.setattr(drbd, "_drbdsetup", lambda argv: CommandTimeout)
    assert act("monitor", timeout=20.0) == 191
    assert said[-1].startswith("r0: nothing can be seen of it: drbdsetup did not end within 18")
    assert act("monitor", timeout=20.0) == 191
    assert act("monitor", timeout=20.0, interval=0.0) == 1, "a probe has to know"
    host.sleep(20)
    assert act("monitor", timeout=20.0) == 1
    monkeypatch.setattr(drbd, "_drbdsetup", answers)
    assert act("monitor") == 8
    monkeypatch.setattr(drbd, "_drbdsetup", lambda argv: CommandTimeout)
    assert act("monitor", timeout=20.0) == 191, "it has been seen since"


def test_an_answer_without_an_end_is_not_believed(act, drbd, monkeypatch, said):
    monkeypatch.setattr(drbd, "_events", lambda: "")
    assert act("monitor") == 1
    assert "without an end" in said[-1]


def test_a_configuration_that_has_gone_changes_nothing(act, drbd):
    drbd.dump = ""
    assert act("monitor") == 0


# ------------------------------------------------------------------------ the score


def test_the_score_is_written_once(act, drbd):
    for _ in range(3):
        act("monitor")
    assert drbd.attributes == {"drbd-r0": "10000"}
    assert len(drbd.orders("crm_attribute")) == 1


def test_a_probe_writes_it_anew(act, drbd):
    act("monitor")
    drbd.attributes.clear()
    act("monitor", interval=0.0)
    assert drbd.attributes == {"drbd-r0": "10000"}


def test_a_new_executor_stands_for_a_new_pacemaker_that_has_forgotten_it(act, drbd, monkeypatch):
    act("monitor")
    drbd.attributes.clear()
    monkeypatch.setattr("posix.getppid", lambda: 4711)
    act("monitor")
    assert drbd.attributes == {"drbd-r0": "10000"}


def test_it_is_compared_now_and_then_with_what_the_cluster_has(act, drbd, host):
    act("monitor")
    drbd.attributes.clear()
    host.sleep(601)
    act("monitor")
    assert drbd.attributes == {"drbd-r0": "10000"}
    drbd.ran.clear()
    host.sleep(601)
    act("monitor")
    assert drbd.orders("crm_attribute") == [], "it is the same, and only compared"


def test_in_a_plain_clone_it_has_the_name_that_the_rules_use(act, drbd):
    act("monitor", meta={"clone_max": "2"})
    assert drbd.attributes == {"drbd-promotion-score-r0": "10000"}


@pytest.mark.parametrize("key", ["promoted_max", "master_max"])
def test_in_a_promotable_clone_it_is_pacemakers(act, drbd, key):
    act("monitor", meta={"clone_max": "2", key: "1"})
    assert drbd.attributes == {"drbd-r0": "10000"}


def test_it_never_decides_how_the_monitor_ends(act, drbd, logged):
    drbd.cluster_hangs = True
    assert act("monitor") == 0
    assert "the promotion score was not taken" in logged[-1]
    drbd.cluster_hangs, drbd.cluster = False, None
    logged.clear()
    assert act("monitor") == 0
    assert logged == [], "without a cluster nobody wants it"
    drbd.ran.clear()
    assert act("monitor") == 0
    assert drbd.orders("crm_attribute") == [], "and it is not offered again"


def test_a_state_without_a_score_takes_it_away(act, drbd):
    act("monitor")
    drbd.disk = "Negotiating"
    act("monitor")
    assert drbd.attributes == {}


def test_changed_figures_count_at_the_reload(act, drbd):
    act("monitor")
    assert act("reload-agent", adjust_master_score="1 2 3 4") == 0
    assert drbd.attributes == {"drbd-r0": "4"}


def test_drbd_9_bounds_it(act, drbd):
    drbd.nine = "may_promote:yes promotion_score:101"
    act("monitor")
    assert drbd.attributes == {"drbd-r0": "101"}


# ---------------------------------------------------------------------- what is known


def test_what_is_seen_of_the_peer_is_kept(act, drbd, known, host):
    act("monitor")
    assert (known().of("n2").standing, known().of("n2").role) == ("equal", "Secondary")
    drbd.find_peer(role="Primary")
    act("monitor")
    assert known().of("n2").role == "Primary"


def test_a_peer_that_went_on_is_known_only_once_that_is_sure(act, drbd, host, known, said):
    drbd.find_peer(role="Primary")
    act("monitor")
    drbd.lose_peer()
    assert act("monitor") == 190
    assert known().of("n2").standing == "equal"
    host.sleep(20)
    assert act("monitor") == 190
    assert known().of("n2").standing == "ahead"
    assert "not to be promoted: n2 has newer data, or may have" in said[-1]
    assert drbd.attributes == {}


def test_a_peer_that_died_has_not_gone_on(act, drbd, host, known):
    drbd.find_peer(role="Primary")
    act("monitor")
    drbd.lose_peer()
    drbd.cluster["n2"] = "unclean"
    for _ in range(3):
        act("monitor")
        host.sleep(20)
    assert known().of("n2").standing == "equal"
    assert drbd.attributes == {"drbd-r0": "1000"}


def test_the_peers_own_word_is_enough(act, drbd, known):
    drbd.find_peer(role="Primary")
    act("monitor")
    drbd.lose_peer()
    drbd.words["n2"] = {"drbd-data-r0": "went-on"}
    act("monitor")
    assert known().of("n2").standing == "ahead"


def test_who_goes_on_alone_tells_it_once_and_takes_it_back(act, drbd, known):
    drbd.role = "Primary"
    act("monitor")
    drbd.lose_peer()
    act("monitor")
    act("monitor")
    assert drbd.attributes["drbd-data-r0"] == "went-on"
    assert known().of("n2").standing == "behind"
    assert len([argv for argv in drbd.orders("crm_attribute") if "drbd-data-r0" in argv]) == 1
    drbd.find_peer()
    act("monitor")
    assert "drbd-data-r0" not in drbd.attributes


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_peer_that_the_kernel_does_not_know_of_may_be_newer(act, drbd, said, monkeypatch, is_readable):
    if not is_readable:
        drbd.dump = ""
    lines = drbd._events().splitlines(keepends=True)
    alone = "".join(line for line in lines if " connection " not in line and " peer-device " not in line)
    monkeypatch.setattr(drbd, "_events", lambda: alone)
    assert act("monitor") == 190
    assert f"not to be promoted: {'n2' if is_readable else 'peer'} may hold newer data" in said[-1]
    assert act("promote") == 1
    assert drbd.attributes == {}


def test_a_resource_of_one_node_has_no_peer_to_wait_for(act, drbd, monkeypatch):
    drbd.dump = drbd.dump.replace("n2", "")
    drbd.dump = "\n".join(line for line in drbd.dump.splitlines() if 'name=""' not in line)
    lines = drbd._events().splitlines(keepends=True)
    alone = "".join(line for line in lines if " connection " not in line and " peer-device " not in line)
    monkeypatch.setattr(drbd, "_events", lambda: alone)
    assert act("monitor") == 0
    assert drbd.attributes == {"drbd-r0": "10000"}


def test_after_a_boot_a_peer_that_was_not_met_may_be_newer(act, drbd, host, known, said):
    act("monitor")
    host.files.pop("/run/kvmha/DRBD/r0")
    host.files["/proc/sys/kernel/random/boot_id"] = b"boot-2\n"
    drbd.lose_peer()
    assert act("monitor") == 190
    assert "n2 may hold newer data: it has not been connected since this node came up" in said[-1]
    assert drbd.attributes == {}


def test_what_cannot_be_kept_is_said(act, drbd, host, said, monkeypatch):
    def full(path, text, mode=0o644):
        if path.startswith("/var/lib"):
            raise OSError(28, "No space left on device")
        host.files[path] = text.encode()

    monkeypatch.setattr(host, "write", full)
    assert act("monitor") == 190
    assert "cannot be kept: [Errno 28] No space left on device" in said[-1]


def test_a_name_that_the_cluster_does_not_have_is_said(act, drbd, said):
    drbd.cluster = {"alpha": "online", "beta": "online"}
    assert act("start") == 0
    assert act("monitor") == 190
    assert said == ["r0: the cluster has no node named n2 (see node_map)"]
    assert act("start", node_map="n1:alpha n2:beta") == 0
    assert act("monitor", node_map="n1:alpha n2:beta") == 0


def test_a_fence_mark_is_looked_into_while_promoted(act, drbd, host, monkeypatch):
    seen = []
    monkeypatch.setattr("kvmha.resources.drbd.unfence.repair", lambda agent, replica: seen.append(replica.role))
    host.files[f"{FENCE_MARKS}/r0"] = b""
    act("monitor")
    assert seen == []
    drbd.role = "Primary"
    act("monitor")
    assert seen == ["Primary"]
