"""DRBD's handlers: what they do to the cluster, what they tell DRBD, and that they end."""

from __future__ import annotations

import pytest

from kvmha.host import CommandMissing, CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.policy.replica import Peer, PeerVolume, Replica, Volume
from kvmha.resources.drbd import fence_peer, unfence, window
from kvmha.resources.drbd.primary import DRBDPrimary
from kvmha.tools import cibadmin, crm_mon, drbd, stonith_admin
from tests.fakes import FakeHost

ENVIRON = {"DRBD_RESOURCE": "r1", "DRBD_PEER": "n2", "DRBD_PEERS": "n2", "DRBD_CONF": "/etc/drbd.conf"}
PRIMARY = """
<primitive id="primary-r1" class="ocf" provider="kvmha" type="DRBDPrimary"><instance_attributes id="a">
<nvpair id="b" name="drbd_resource" value="r1"/>{more}</instance_attributes></primitive>"""
FENCE = "drbd-fence-r1-n1-n2"


class Cluster:
    """Two nodes and their configuration; n1 is this one, promoted and cut off from n2."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.online, self.unclean, self.promoted, self.quorum = True, False, False, True
        self.role, self.disk, self.names, self.more = "Primary", "UpToDate", ("n1", "n2"), ""
        self.constraints: dict[str, str] = {}
        self.answers = True
        host.files["/proc/drbd"] = b"version: 8.4.11\n"
        host.files["/proc/sys/kernel/hostname"] = b"n1\n"
        host.files["/var/lib/kvmha/drbd/r1"] = b"node x Primary 1.0 0\npeer n2 equal Secondary 1.0 0\n"
        host.commands[drbd.events_argv("r1")] = lambda: self.events
        host.commands[crm_mon.ARGV] = lambda: self.status if self.answers else (102, "", "")
        host.commands[cibadmin.query_argv()] = lambda: self.cib if self.answers else (102, "", "not connected")
        for own, peer in (("n1", "n2"), ("n2", "n1"), ("a", "b")):
            xml = self.exclusion(own, peer)
            host.commands[cibadmin.create_argv(xml)] = lambda xml=xml: self.create(xml)
        host.commands[cibadmin.delete_argv(FENCE)] = lambda: self.constraints.pop(FENCE, "") and ""
        host.commands[stonith_admin.reboot_argv("n2")] = self.shoot

    def exclusion(self, own: str, peer: str) -> str:
        holder = cibadmin.Holder(name="primary-r1", primitive="primary-r1")
        return cibadmin.exclusion_xml("r1", holder, own=own, peer=peer)

    def create(self, xml: str):
        name = xml.partition('id="')[2].partition('"')[0]
        if name in self.constraints:
            return (108, "", "Call failed: File exists")
        self.constraints[name] = xml
        return ""

    def shoot(self) -> str:
        self.online, self.promoted = False, False
        return ""

    @property
    def cib(self) -> str:
        resources = PRIMARY.format(more=self.more) if self.role else ""
        inside = "".join(self.constraints.values())
        return f"<cib><resources>{resources}</resources><constraints>{inside}</constraints></cib>"

    @property
    def status(self) -> str:
        yes = {True: "true", False: "false"}
        own, peer = self.names
        where = f'<node name="{peer if self.promoted else own}"/>'
        both = f'<node name="{own}"/>' if self.promoted else ""
        return (
            f'<pacemaker-result><summary><current_dc with_quorum="{yes[self.quorum]}"/></summary><nodes>'
            f'<node name="{own}" online="true" unclean="false"/>'
            f'<node name="{peer}" online="{yes[self.online]}" unclean="{yes[self.unclean]}"/></nodes>'
            '<resources><resource id="primary-r1" resource_agent="ocf:kvmha:DRBDPrimary" role="Started" active="true">'
            f"{where}{both}</resource></resources></pacemaker-result>"
        )

    @property
    def events(self) -> str:
        return (
            f"exists resource name:r1 role:{self.role} suspended:fencing\n"
            "exists connection name:r1 peer-node-id:0 conn-name:peer connection:Connecting role:Unknown\n"
            f"exists device name:r1 volume:0 minor:0 disk:{self.disk}\n"
            "exists peer-device name:r1 peer-node-id:0 conn-name:peer volume:0 replication:Off "
            "peer-disk:DUnknown resync-suspended:no\nexists -\n"
        )


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def cluster(host: FakeHost) -> Cluster:
    return Cluster(host)


def fence(host: FakeHost, *, environ: dict[str, str] | None = None, seconds: int = 60) -> int:
    begin = host.now()
    code = fence_peer.run("fence", [str(seconds)], environ or ENVIRON, host)
    assert host.now() - begin <= seconds + 2
    return code


def test_a_link_that_is_cut_has_the_peer_excluded(host, cluster):
    assert fence(host) == 4
    assert list(cluster.constraints) == [FENCE]
    assert 'value="n2"' in cluster.constraints[FENCE]
    assert unfence.is_marked(host, "r1")
    assert "peer n2 behind" in host.read("/var/lib/kvmha/drbd/r1")


def test_a_second_call_changes_nothing(host, cluster):
    fence(host)
    before = dict(cluster.constraints)
    assert fence(host) == 4
    assert cluster.constraints == before


def test_a_peer_that_was_fenced_is_excluded_until_it_has_the_data_again(host, cluster):
    cluster.online = False
    assert fence(host) == 7
    assert list(cluster.constraints) == [FENCE]


def test_the_io_waits_until_the_peer_has_been_fenced(host, cluster):
    cluster.online, cluster.unclean = False, True
    host.after(20.0, lambda: setattr(cluster, "unclean", False))
    begin = host.now()
    assert fence(host) == 7
    assert 20 <= host.now() - begin < 25


@pytest.mark.parametrize("what", ["not-fenced", "no-quorum", "no-cluster"])
def test_who_is_not_out_of_the_way_stays_in_it(host, cluster, what):
    cluster.unclean, cluster.online = what == "not-fenced", what != "not-fenced"
    cluster.quorum, cluster.answers = what != "no-quorum", what != "no-cluster"
    assert fence(host) == 1
    assert cluster.constraints == {}


def test_a_promotion_does_not_wait_that_long(host, cluster):
    cluster.role, cluster.online, cluster.unclean = "Secondary", False, True
    begin = host.now()
    assert fence(host, seconds=120) == 1
    assert host.now() - begin <= fence_peer.PROMOTING + 2


def test_of_two_that_lost_each_other_the_second_hears_that_it_is_the_one(host, cluster):
    cluster.constraints[FENCE] = cluster.exclusion("n2", "n1")
    assert fence(host) == 6


def test_the_second_is_told_so_even_when_both_wrote_at_one_time(host, cluster):
    def late():
        cluster.constraints[FENCE] = cluster.exclusion("n2", "n1")
        return (108, "", "Call failed: File exists")

    host.commands[cibadmin.create_argv(cluster.exclusion("n1", "n2"))] = late
    assert fence(host) == 6


def test_own_data_that_are_not_current_fence_nobody(host, cluster):
    cluster.disk = "Inconsistent"
    assert fence(host) == 5
    assert cluster.constraints == {}


def test_a_replica_that_may_be_old_is_not_promoted_over_its_peer(host, cluster):
    cluster.role, cluster.disk = "Secondary", "Consistent"
    host.files["/var/lib/kvmha/drbd/r1"] = b"node x Secondary 1.0 0\npeer n2 ahead Primary 1.0 0\n"
    assert fence(host) == 5


def test_in_a_move_the_source_has_the_target_fenced(host, cluster):
    cluster.promoted = True
    host.files[window.mark("r1")] = b"source 990.0\n"
    assert fence(host) == 7
    assert stonith_admin.reboot_argv("n2") in host.ran


def test_in_a_move_the_target_lets_the_source_act(host, cluster):
    cluster.promoted = True
    host.files[window.mark("r1")] = b"target 990.0\n"
    host.after(5.0, lambda: cluster.constraints.update({FENCE: cluster.exclusion("n2", "n1")}))
    assert fence(host) == 6
    assert stonith_admin.reboot_argv("n2") not in host.ran


def test_a_cluster_that_answers_late_is_asked_again(host, cluster):
    cluster.answers = False
    host.after(30.0, lambda: setattr(cluster, "answers", True))
    assert fence(host) == 4


def test_a_command_that_hangs_does_not_hold_the_handler(host, cluster):
    host.commands[cibadmin.query_argv()] = CommandTimeout
    assert fence_peer.run("fence", ["60"], ENVIRON, host) == 1


def test_without_pacemaker_the_io_stays_frozen(host, cluster):
    host.commands[cibadmin.query_argv()] = CommandMissing
    assert fence(host, seconds=5) == 1


@pytest.mark.parametrize("environ", [{}, {"DRBD_RESOURCE": "r1"}, {"DRBD_RESOURCE": "r1", "DRBD_PEERS": "n2 n3"}])
def test_a_call_that_names_no_resource_or_peer_does_nothing(host, cluster, environ):
    assert fence_peer.run("fence", [], environ, host) == 1
    assert cluster.constraints == {}


def test_drbd_9_names_the_peer_by_its_number(host, cluster):
    environ = {"DRBD_RESOURCE": "r1", "DRBD_PEER_NODE_ID": "7", "DRBD_NODE_ID_7": "n2", "DRBD_NODE_ID_3": "n1"}
    assert fence(host, environ=environ) == 4


def test_nodes_that_the_cluster_calls_otherwise_are_found(host, cluster):
    cluster.names = ("a", "b")
    cluster.more = '<nvpair id="c" name="node_map" value="n1:a n2:b"/>'
    assert fence(host) == 4
    assert 'value="b"' in next(iter(cluster.constraints.values()))


def test_the_peer_that_is_well_again_may_be_promoted(host, cluster):
    fence(host)
    assert fence_peer.run("release", [], ENVIRON, host) == 0
    assert cluster.constraints == {}
    assert not unfence.is_marked(host, "r1")
    assert fence_peer.run("release", [], ENVIRON, host) == 0


def test_what_the_handler_could_not_take_back_keeps_its_mark(host, cluster):
    fence(host)
    cluster.answers = False
    assert fence_peer.run("release", [], ENVIRON, host) == 1
    assert unfence.is_marked(host, "r1")


# ------------------------------------------------- what a handler could not do in its time


def monitor(host: FakeHost, *, suspended_at: float) -> int:
    host.files["/run/kvmha/DRBD/r1"] = f"life=x\npeer=n2\nsuspended={suspended_at:.0f}\n".encode()
    env = OcfEnv(
        action="monitor", instance="primary-r1", params={"drbd_resource": "r1"}, interval=10.0, timeout=20.0, node="n1"
    )
    return perform(DRBDPrimary, env, host)


RESUME = ("drbdsetup", "resume-io", "0")


def test_the_monitor_lets_frozen_io_go_on_once_the_peer_is_off(host, cluster):
    cluster.online = False
    host.commands[RESUME] = ""
    assert monitor(host, suspended_at=900) == codes.SUCCESS
    assert host.ran[-1] == RESUME
    assert list(cluster.constraints) == [FENCE]
    assert "peer n2 behind" in host.read("/var/lib/kvmha/drbd/r1")


@pytest.mark.parametrize("what", ["not-fenced", "no-quorum", "no-cluster", "promoted"])
def test_the_monitor_leaves_io_frozen_while_the_peer_may_be_running(host, cluster, what):
    cluster.unclean, cluster.quorum, cluster.answers = what == "not-fenced", what != "no-quorum", what != "no-cluster"
    cluster.promoted = what == "promoted"
    assert monitor(host, suspended_at=900) == codes.SUCCESS
    assert RESUME not in host.ran
    assert stonith_admin.reboot_argv("n2") not in host.ran


def test_the_monitor_needs_nobody_else_to_have_seen_that_the_io_is_frozen(host, cluster):
    """Pacemaker 2.1.5 was seen not to run the clone's monitor, which writes it down, after a maintenance."""
    cluster.online = False
    host.commands[RESUME] = ""
    host.files["/run/kvmha/DRBD/r1"] = b"life=x\npeer=n2\n"
    for _ in range(4):
        env = OcfEnv(
            action="monitor", instance="primary-r1", params={"drbd_resource": "r1"}, interval=10.0, timeout=20.0
        )
        assert perform(DRBDPrimary, env, host) == codes.SUCCESS
        host.sleep(10.0)
    assert RESUME in host.ran


def test_the_handler_itself_is_given_time_first(host, cluster):
    assert monitor(host, suspended_at=995) == codes.SUCCESS
    assert cibadmin.query_argv() not in host.ran


# ------------------------------------------------------- what a handler did not take back


def test_the_monitor_takes_back_a_constraint_that_was_left(host, cluster):
    fence(host)
    replica = Replica(
        resource="r1",
        role="Primary",
        volumes=(Volume(number=0, minor=0, disk="UpToDate"),),
        peers=(Peer(name="n2", connection="Connected", volumes=(PeerVolume(number=0, disk="UpToDate"),)),),
    )
    agent = DRBDPrimary(OcfEnv(action="monitor", params={"drbd_resource": "r1"}), host)
    behind = PeerVolume(number=0, disk="Inconsistent")
    for leaves in (
        replica.replace(role="Secondary"),
        replica.replace(peers=(Peer(name="n2", connection="Connected", volumes=(behind,)),)),
        replica.replace(peers=(Peer(name="n2", connection="Connecting"),)),
    ):
        unfence.repair(agent, leaves)
        assert list(cluster.constraints) == [FENCE]
    unfence.repair(agent, replica)
    assert cluster.constraints == {}
    assert not unfence.is_marked(host, "r1")
