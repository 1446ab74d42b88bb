"""Start, promote, demote, stop and notify."""

from __future__ import annotations

import pytest

from kvmha import journal
from kvmha.host import CommandTimeout
from kvmha.policy import decisions
from kvmha.resources.drbd import knowledge
from tests.unit.resources.drbd.conftest import HELD_OPEN, NO_DATA, TWO_PRIMARIES


@pytest.fixture
def down(drbd):
    drbd.is_up = False
    return drbd


class TestStart:
    """Bringing up."""

    def test_it_ends_unpromoted_with_a_score(self, act, down, host):
        assert act("start") == 0
        assert down.orders("drbdadm") == [("adjust", "r0")]
        assert (down.role, down.attributes) == ("Secondary", {"drbd-r0": "10000"})
        assert "peer=n2\n" in host.files["/run/kvmha/DRBD/r0"].decode()

    def test_twice_is_the_same_life(self, act, down, known, host):
        act("start")
        life = known().life
        assert act("start") == 0
        assert known().life == life
        act("stop")
        host.sleep(0.1)
        act("start")
        assert known().life != life

    def test_what_is_promoted_is_demoted(self, act, drbd):
        drbd.role = "Primary"
        assert act("start") == 0
        assert drbd.role == "Secondary"

    def test_the_module_is_loaded(self, act, down, host):
        del host.files["/proc/drbd"]
        assert act("start") == 0
        assert ("modprobe", "drbd") in down.ran

    def test_without_a_module_it_is_5(self, act, down, host, said, monkeypatch):
        del host.files["/proc/drbd"]
        monkeypatch.setattr(down, "_modprobe", lambda argv: (1, "modprobe: FATAL: Module drbd not found\n"))
        assert act("start") == 5
        assert "no module drbd that can be loaded" in said[-1]

    def test_an_unknown_resource_is_5_with_what_drbdadm_says(self, act, down, said):
        down.dump = ""
        assert act("start") == 5
        assert said == ["configuration of r0: drbdadm says: 'r0' not defined in your config (for this host)."]

    @pytest.mark.parametrize(("timeout", "patience"), [(20.0, 9.6), (120.0, 29.5)])
    def test_a_busy_node_has_a_part_of_the_starts_time_to_read_the_configuration(
        self, act, down, host, said, timeout, patience
    ):
        down.dump = CommandTimeout
        assert act("start", timeout=timeout) == 1
        assert said == [f"start: drbdadm did not end within {patience:g} s"]

    def test_a_node_that_the_configuration_does_not_know_is_5(self, act, down, host, said):
        host.files["/proc/sys/kernel/hostname"] = b"n7\n"
        assert act("start") == 5
        assert said == ["the configuration of r0 knows n1, n2, and this node is n7 (uname -n)"]

    def test_a_disk_without_metadata_is_5_and_any_other_trouble_1(self, act, down, said):
        down.adjust_fails = "No valid meta data found\n"
        assert act("start") == 5
        down.adjust_fails = "0: Failure: (104) Can not open backing device.\n"
        assert act("start") == 1
        assert "Can not open backing device" in said[-1]

    def test_a_step_that_drbdadm_was_too_impatient_for_is_done_anew(self, act, down, host):
        down.adjust_fails = "Command 'drbdsetup-84 connect r0' did not terminate within 5 seconds\n"
        host.after(1.0, lambda: setattr(down, "adjust_fails", None))
        assert act("start") == 0

    def test_it_waits_for_the_peer_and_not_for_ever(self, act, down, host):
        down.lose_peer()
        down.connects_at = host.now() + 3.0
        assert act("start") == 0
        assert 3.0 <= host.now() - 1000.0 < 4.5
        assert down.attributes == {"drbd-r0": "10000"}
        act("stop")
        down.lose_peer()
        begun = host.now()
        assert act("start", wfc_timeout="7") == 0
        assert 7.0 <= host.now() - begun < 8.5
        assert down.attributes == {}, "the peer was not met in this life"

    def test_a_device_that_does_not_appear_is_1(self, act, down, host, said):
        del host.devices["/dev/drbd0"]
        assert act("start") == 1
        assert "its device /dev/drbd0 has not appeared" in said[-1]
        assert host.now() - 1000.0 < 30.0

    def test_drbd_without_fencing_is_warned_of(self, act, down, logged):
        down.shown = "resource r0 {\n    disk {\n        fencing dont-care;\n    }\n}\n"
        assert act("start") == 0
        assert "neither fencing resource-and-stonith nor quorum" in logged[-1]

    @pytest.mark.parametrize(
        ("params", "code"),
        [
            ({"require_drbd_module_version_ge": "8.4.0"}, 0),
            ({"require_drbd_module_version_ge": "9.0.0"}, 5),
            ({"require_drbd_module_version_lt": "9.0.0"}, 0),
            ({"require_drbd_module_version_lt": "8.4.11"}, 5),
        ],
    )
    def test_the_version_of_the_module_can_be_required(self, act, down, params, code):
        assert act("start", **params) == code
        assert act("validate-all", **params) == code


WRONG = {
    "drbd_resource": "a b",
    "drbdconf": "drbd.conf",
    "adjust_master_score": "1 2 3",
    "stale_data_guard": "perhaps",
    "node_map": "n1=alpha",
    "on_degraded": "fine",
    "suspended_grace": "-1",
    "wfc_timeout": "soon",
    "force_demote": "maybe",
    "require_drbd_module_version_ge": "9",
    "require_drbd_module_version_lt": "nine.1.0",
}


class TestParameters:
    """Wrong ones fail what they may fail, and nothing else."""

    def test_each_has_a_wrong_value_here(self):
        from kvmha.resources.drbd.params import PARAMS

        assert {param.name for param in PARAMS} == set(WRONG)

    @pytest.mark.parametrize("name", WRONG)
    def test_each_is_named_with_its_value(self, act, drbd, said, name):
        assert act("validate-all", **{name: WRONG[name]}) == 6
        assert f'{name}="{WRONG[name]}"' in said[-1]

    @pytest.mark.parametrize("figures", ["0 10 1000", "0 10 x 3", "0 10 9 10000", "-1 0 1 2", "0 10 1000 10000 5"])
    def test_scores_are_four_figures_that_do_not_fall(self, act, drbd, figures):
        assert act("validate-all", adjust_master_score=figures) == 6
        assert act("monitor", adjust_master_score=figures) == 0
        assert drbd.attributes == {"drbd-r0": "10000"}

    def test_tuning_that_is_wrong_does_not_keep_stop_from_stopping(self, act, drbd):
        wrong = {name: value for name, value in WRONG.items() if name != "drbd_resource"}
        assert act("monitor", **wrong) == 0
        assert act("stop", **wrong) == 0
        assert not drbd.is_up

    def test_a_clone_that_cannot_be_meant_is_refused_and_still_stopped(self, act, drbd, said):
        assert act("validate-all", meta={"clone_node_max": "2"}) == 6
        assert said[-1] == "the clone's clone-node-max is 2: a node has one replica"
        for name in ("promoted_max", "master_max"):
            assert act("promote", meta={"clone_max": "2", name: "2"}) == 6
            assert "for the moment of a live migration only" in said[-1]
        assert act("stop", meta={"clone_node_max": "2"}) == 0

    def test_where_nothing_tells_the_resource_it_is_known_from_the_start(self, act, drbd):
        act("start")
        assert act("stop", drbd_resource="") == 0
        assert not drbd.is_up

    def test_where_nobody_knows_it_stop_does_not_claim_success(self, act, drbd, said):
        assert act("stop", drbd_resource="") == 6
        assert said == ["drbd_resource is not set"]


def crash(host):
    """Have the node come up again, with only what its disk has kept."""
    host.files.pop("/run/kvmha/DRBD/r0")
    host.sleep(60.0)


class TestPromote:
    """The guard, and what the kernel answers."""

    def test_a_connected_replica_is_promoted_without_asking_the_cluster(self, act, drbd, known):
        assert act("promote") == 0
        assert drbd.role == "Primary"
        assert known().role == "Primary"
        assert "crm_mon" not in {argv[0] for argv in drbd.ran}

    def test_twice_is_fine(self, act, drbd):
        assert (act("promote"), act("promote")) == (0, 0)

    def test_what_is_down_is_7(self, act, down, said):
        assert act("promote") == 7
        assert said == ["r0 is down, and cannot be promoted"]

    @pytest.fixture
    def failover(self, act, drbd):
        """Have the peer promoted, seen so, and then dead."""
        drbd.find_peer(role="Primary")
        act("monitor")
        drbd.lose_peer()
        drbd.cluster["n2"] = "off"
        return drbd

    def test_after_the_fencing_of_the_peer_it_is_promoted_at_once(self, act, failover, host, known):
        begun = host.now()
        assert act("promote") == 0
        assert host.now() == begun
        assert known().of("n2").standing == "behind"
        assert failover.attributes["drbd-r0"] == "10000"

    def test_an_unfenced_peer_forbids_it_and_the_word_of_its_fencing_is_waited_for(self, act, failover, host, said):
        failover.cluster["n2"] = "unclean"
        assert act("promote") == 1
        assert said == ["r0 is not promoted: n2 is not connected, and has not been fenced yet"]
        assert failover.role == "Secondary"
        host.after(3.0, lambda: failover.cluster.update(n2="off"))
        assert act("promote") == 0

    def test_a_refusal_is_written_down_and_made_again(self, act, failover, host):
        failover.cluster["n2"] = "unclean"
        act("promote")
        (entry,) = journal.entries(host)
        assert (entry.kind, entry.subject, entry.guests) == ("promote", "promote r0", ("drbd-r0",))
        assert entry.said == "not promoted: n2 is not connected, and has not been fenced yet"
        assert decisions.again(entry).is_same

    def test_what_drbd_refuses_is_no_decision_of_ours(self, act, drbd, host):
        drbd.refuses = NO_DATA
        assert act("promote") == 1
        assert list(journal.entries(host)) == []

    def test_without_a_cluster_a_peer_that_is_away_may_be_running(self, act, failover, said):
        failover.cluster = None
        assert act("promote") == 1
        assert "the cluster does not say whether it is off" in said[-1]
        assert act("promote", stale_data_guard="false") == 0

    def test_after_a_crash_of_both_it_is_refused_and_the_score_is_away(self, act, failover, host, said):
        act("monitor")
        crash(host)
        assert act("promote") == 1
        assert "n2 may hold newer data" in said[-1]
        assert failover.attributes == {}

    def test_an_administrator_may_accept_that(self, act, failover, host, known):
        act("monitor")
        crash(host)
        act("monitor")
        knowledge.accept_loss(host, "r0", ("n2",), host.wall_clock())
        act("monitor")
        assert failover.attributes == {"drbd-r0": "10000"}
        failover.refuses = NO_DATA
        assert act("promote") == 0
        assert ("drbdsetup", "primary", "0", "--force") in failover.ran
        failover.find_peer()
        act("monitor")
        assert known().accepted == 0.0, "it counts until the peers agree again"

    def test_nobody_else_gets_force(self, act, drbd, said):
        drbd.refuses = NO_DATA
        assert act("promote") == 1
        assert not [argv for argv in drbd.ran if "--force" in argv]
        assert "Need access to UpToDate data" in said[-1]

    def test_a_peer_that_is_promoted_and_answers_is_named(self, act, drbd, host, said):
        drbd.find_peer(role="Primary")
        drbd.refuses = TWO_PRIMARIES
        assert act("promote") == 1
        assert said[0].startswith("r0 is not promoted: n2 is promoted and answers: drbdsetup exited with 11:")
        assert 10.0 <= host.now() - 1000.0 < 12.0

    def test_a_dead_peer_that_drbd_still_takes_for_alive_is_waited_for(self, act, drbd, host):
        drbd.find_peer(role="Primary")
        act("monitor")
        drbd.refuses = TWO_PRIMARIES
        drbd.cluster["n2"] = "off"

        def notices():
            drbd.lose_peer()
            drbd.refuses = None

        host.after(2.0, notices)
        assert act("promote") == 0

    def test_a_move_needs_another_peer_beside_it_and_no_third(self, drbd, host):
        from kvmha.ocf.env import OcfEnv
        from kvmha.resources.drbd import DRBD, looking, promoting

        agent = DRBD(OcfEnv(action="promote", instance="drbd-r0", params={"drbd_resource": "r0"}), host)
        drbd.find_peer(role="Primary")
        look = looking.look(agent, "r0")
        assert promoting.why_not(agent, look, "n2") is None
        assert promoting.why_not(agent, look, "n3") == "n2 is promoted as well"


class TestDemote:
    """Openers are named, and the time is kept."""

    @pytest.fixture
    def primary(self, drbd):
        drbd.role = "Primary"
        return drbd

    def test_it_is_demoted_and_known_to_be(self, act, primary, known):
        act("monitor")
        assert act("demote") == 0
        assert (primary.role, known().role) == ("Secondary", "Secondary")
        assert act("demote") == 0

    def test_what_is_down_is_7(self, act, down):
        assert act("demote") == 7

    def test_a_holder_that_lets_go_in_time_is_waited_for(self, act, primary, host):
        primary.holder_leaves_at = host.now() + 10.0
        assert act("demote") == 0

    def test_a_holder_that_does_not_is_named_before_the_time_is_up(self, act, primary, host, said):
        primary.holder_leaves_at = host.now() + 1000.0
        host.processes[4242] = ("/usr/bin/qemu-system-x86_64", "-name")
        host.links["/proc/4242/fd/9"] = "/dev/drbd0"
        host.devices["/proc/4242/fd/9"] = (147, 0)
        host.files["/proc/1/mountinfo"] = b"36 35 147:0 / /mnt/x rw,noatime shared:1 - ext4 /dev/drbd0 rw\n"
        host.files["/sys/dev/block/147:0/holders/dm-3"] = b""
        host.files["/sys/block/dm-3/dm/name"] = b"vg-data\n"
        assert act("demote") == 1
        assert said == [
            "r0 cannot be demoted: held open by the mount at /mnt/x, the device vg-data, qemu-system-x86_64 (pid 4242)"
        ]
        assert host.now() - 1000.0 < 30.0

    def test_one_that_cannot_be_found_leaves_the_kernels_words(self, act, primary, host, said):
        primary.holder_leaves_at = host.now() + 1000.0
        assert act("demote") == 1
        assert "Device is held open by someone" in said[-1]

    def test_force_is_for_drbd_9_and_for_who_wants_it(self, act, primary, host, said):
        primary.holder_leaves_at = host.now() + 1000.0
        assert act("demote", force_demote="true") == 1
        assert "not even by force with DRBD 8.4" in said[-1]
        primary.nine = "may_promote:no promotion_score:10102"
        assert act("demote") == 1
        assert act("demote", force_demote="true") == 0
        assert ("drbdsetup", "secondary", "r0", "--force") in primary.ran

    def test_a_kernel_that_does_not_know_force_says_so(self, act, primary, host, said):
        primary.holder_leaves_at = host.now() + 1000.0
        primary.nine, primary.takes_force = "may_promote:no promotion_score:10102", False
        assert act("demote", force_demote="true") == 1
        assert "nor by force" in said[-1]


class TestStop:
    """Down is what the kernel says is down."""

    def test_it_goes_down_and_takes_its_score_along(self, act, drbd, host):
        act("start")
        assert act("stop") == 0
        assert not drbd.is_up
        assert "drbd-r0" not in drbd.attributes

    def test_twice_and_without_a_module_it_is_fine(self, act, drbd, host):
        assert (act("stop"), act("stop")) == (0, 0)
        del host.files["/proc/drbd"]
        drbd.ran.clear()
        assert act("stop") == 0
        assert not [argv for argv in drbd.ran if argv[0].startswith("drbd")]

    def test_it_needs_no_configuration(self, act, drbd):
        drbd.role, drbd.dump = "Primary", ""
        assert act("stop") == 0
        assert not drbd.is_up

    def test_what_does_not_go_down_is_1(self, act, drbd, host, said):
        drbd.down_works = False
        assert act("stop") == 1
        assert said[-1].startswith("r0 is still up: drbdsetup exited with 11")
        assert host.now() - 1000.0 < 30.0

    def test_what_is_held_open_is_1_with_a_name(self, act, drbd, host, said):
        drbd.role, drbd.holder_leaves_at = "Primary", host.now() + 1000.0
        host.files["/proc/swaps"] = b"Filename Type Size Used Priority\n/dev/drbd0 partition 1 0 -2\n"
        assert act("stop") == 1
        assert said == ["r0 cannot be demoted: held open by swap"]

    def test_a_replica_that_leaves_in_step_says_so_until_it_is_back(self, act, drbd):
        act("start")
        act("stop")
        assert drbd.attributes == {"drbd-data-r0": "left"}
        act("start")
        assert drbd.attributes == {"drbd-r0": "10000"}

    @pytest.mark.parametrize("how", ["alone", "behind"])
    def test_one_that_does_not_says_nothing(self, act, drbd, how):
        act("start")
        if how == "alone":
            drbd.lose_peer()
        else:
            drbd.disk = "Inconsistent"
        act("stop")
        assert drbd.attributes == {}

    def test_a_hanging_cluster_does_not_keep_it_from_success(self, act, drbd, host):
        act("start")
        drbd.cluster_hangs = True
        assert act("stop") == 0
        assert host.now() - 1000.0 < 30.0


class TestNotify:
    """What the cluster tells beforehand is kept beforehand."""

    def told(self, kind, operation, **nodes):
        names = {f"notify_{what}_uname": name for what, name in nodes.items()}
        return {"notify_type": kind, "notify_operation": operation, **names}

    def test_a_peer_that_is_away_and_will_be_promoted_gets_ahead(self, act, drbd, known):
        act("monitor")
        drbd.lose_peer()
        assert act("notify", meta=self.told("pre", "promote", promote="n2 ")) == 0
        assert known().of("n2").standing == "ahead"

    def test_one_that_is_connected_does_not(self, act, drbd, known):
        act("monitor")
        assert act("notify", meta=self.told("pre", "promote", promote="n2")) == 0
        assert act("notify", meta=self.told("pre", "promote", promote="n1")) == 0
        assert known().of("n2").standing == "equal"

    def test_names_are_translated(self, act, drbd, known):
        act("monitor")
        drbd.lose_peer()
        act("notify", node_map="n2:beta", meta=self.told("pre", "promote", promote="beta"))
        assert known().of("n2").standing == "ahead"

    def test_after_a_demotion_the_role_is_known(self, act, drbd, known):
        drbd.find_peer(role="Primary")
        act("monitor")
        drbd.find_peer()
        assert act("notify", meta=self.told("post", "demote", demote="n2")) == 0
        assert known().of("n2").role == "Secondary"

    def test_what_was_given_up_is_tried_anew_when_a_peer_starts(self, act, drbd):
        assert act("notify", meta=self.told("pre", "start", start="n2")) == 0
        assert drbd.orders("drbdadm") == []
        drbd.connection = "StandAlone"
        assert act("notify", meta=self.told("pre", "start", start="n2")) == 0
        assert drbd.orders("drbdadm") == [("adjust", "r0")]

    def test_a_split_brain_that_a_start_has_shown_is_not_met_again_at_once(self, act, drbd, host):
        drbd.connection = "StandAlone"
        host.files["/var/lib/kvmha/drbd-split-brain/r0"] = b"n2\n"
        assert act("notify", meta=self.told("post", "start", start="n2")) == 0
        assert drbd.orders("drbdadm") == [], "people would be told twice, and find both sides connected for a moment"
        # A later start of the peer may be one whose replica somebody has made anew.
        assert act("notify", meta=self.told("pre", "start", start="n2")) == 0
        assert drbd.orders("drbdadm") == [("adjust", "r0")]

    def test_it_never_fails(self, act, drbd, monkeypatch):
        monkeypatch.setattr(drbd, "_drbdsetup", lambda argv: HELD_OPEN)
        assert act("notify", meta=self.told("post", "start")) == 0
        assert act("notify") == 0
