"""What Pacemaker's scheduler makes of a guest on a DRBD resource: when it moves live, when not, and in which order.

The device (a plain clone) and the right to write it (a primitive that migrates) are two resources, and the guest
follows the second. The sets with a promotable clone stand below it, each with what it costs, so that a change of
Pacemaker's mind shows.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kvmha.host import Host
from kvmha.tools import cibadmin

HOST = Host()
LIVE = ["primary-r1", "web1"]
"""What moves live, in the order in which the moves begin."""

CIB = """\
<cib crm_feature_set="3.15.0" validate-with="pacemaker-3.7" epoch="1" num_updates="0" admin_epoch="0" have-quorum="1"
     dc-uuid="1">
  <configuration>
    <crm_config>
      <cluster_property_set id="properties">
        <nvpair id="fencing" name="stonith-enabled" value="true"/>
        <nvpair id="freeze" name="no-quorum-policy" value="freeze"/>
      </cluster_property_set>
    </crm_config>
    <nodes>{nodes}</nodes>
    <resources>{fencing}{resources}
      <primitive id="web1" class="ocf" provider="kvmha" type="VirtualDomain">
        <meta_attributes id="web1-meta"><nvpair id="web1-live" name="allow-migrate" value="true"/></meta_attributes>
        <operations><op id="web1-monitor" name="monitor" interval="10s"/></operations>
      </primitive>
    </resources>
    <constraints>{constraints}</constraints>
    <rsc_defaults>
      <meta_attributes id="defaults"><nvpair id="stay" name="resource-stickiness" value="1000"/></meta_attributes>
    </rsc_defaults>
  </configuration>
  <status>{states}</status>
</cib>
"""

NODE = '<node id="{number}" uname="{name}"/>'

FENCING = """
<primitive id="fence-{name}" class="stonith" type="fence_ipmilan">
  <instance_attributes id="fence-{name}-options">
    <nvpair id="fence-{name}-hosts" name="pcmk_host_list" value="{name}"/>
  </instance_attributes>
</primitive>"""

STATE = """
<node_state id="{number}" uname="{name}" in_ccm="true" crmd="online" join="member" expected="member"
            crm-debug-origin="test">
  <transient_attributes id="{number}">
    <instance_attributes id="status-{number}">{score}</instance_attributes>
  </transient_attributes>
  <lrm id="{number}"><lrm_resources/></lrm>
</node_state>"""

SCORE = '<nvpair id="score-{number}" name="{attribute}" value="{score}"/>'

# ------------------------------------------------------------------- the set of kvmha

DEVICE = """
<clone id="drbd-r1-clone">
  <meta_attributes id="drbd-r1-meta">
    <nvpair id="drbd-r1-max" name="clone-max" value="{replicas}"/>
    <nvpair id="drbd-r1-interleave" name="interleave" value="true"/>
    <nvpair id="drbd-r1-notify" name="notify" value="true"/>
  </meta_attributes>
  <primitive id="drbd-r1" class="ocf" provider="kvmha" type="DRBD">
    <operations><op id="drbd-r1-monitor" name="monitor" interval="10s"/></operations>
  </primitive>
</clone>
<primitive id="primary-r1" class="ocf" provider="kvmha" type="DRBDPrimary">
  <instance_attributes id="primary-r1-options">
    <nvpair id="primary-r1-resource" name="drbd_resource" value="r1"/>
  </instance_attributes>
  <meta_attributes id="primary-r1-meta">
    <nvpair id="primary-r1-live" name="allow-migrate" value="true"/>
  </meta_attributes>
  <operations><op id="primary-r1-monitor" name="monitor" interval="10s"/></operations>
</primitive>"""

FOLLOWING = """
<rsc_colocation id="primary-r1-with-drbd" rsc="primary-r1" with-rsc="drbd-r1-clone" score="INFINITY"/>
<rsc_order id="drbd-r1-then-primary" first="drbd-r1-clone" first-action="start" then="primary-r1" then-action="start"/>
<rsc_colocation id="web1-with-primary-r1" rsc="web1" with-rsc="primary-r1" score="INFINITY"/>
<rsc_order id="primary-r1-then-web1" first="primary-r1" first-action="start" then="web1" then-action="start"/>
<rsc_location id="primary-r1-score" rsc="primary-r1">
  <rule id="primary-r1-score-rule" score-attribute="drbd-promotion-score-r1">
    <expression id="primary-r1-score-rule-expr" attribute="drbd-promotion-score-r1" operation="defined"/>
  </rule>
</rsc_location>
<rsc_location id="primary-r1-known" rsc="primary-r1">
  <rule id="primary-r1-known-rule" score="-INFINITY">
    <expression id="primary-r1-known-rule-expr" attribute="drbd-promotion-score-r1" operation="not_defined"/>
  </rule>
</rsc_location>"""

# ---------------------------------------------------- the sets with a promotable clone

PROMOTABLE = """
<clone id="drbd-r1-clone">
  <meta_attributes id="drbd-r1-meta">
    <nvpair id="drbd-r1-promotable" name="promotable" value="true"/>
    <nvpair id="drbd-r1-promoted" name="promoted-max" value="{promoted}"/>
    <nvpair id="drbd-r1-max" name="clone-max" value="{replicas}"/>
    <nvpair id="drbd-r1-notify" name="notify" value="true"/>
  </meta_attributes>
  <primitive id="drbd-r1" class="ocf" provider="kvmha" type="DRBD">
    <operations>
      <op id="drbd-r1-promoted-monitor" name="monitor" interval="10s" role="Promoted"/>
      <op id="drbd-r1-monitor" name="monitor" interval="20s" role="Unpromoted"/>
    </operations>
  </primitive>
</clone>"""

PROMOTED = """
<rsc_colocation id="web1-with-promoted" rsc="web1" with-rsc="drbd-r1-clone" with-rsc-role="Promoted" score="INFINITY"/>
<rsc_order id="promote-then-web1" first="drbd-r1-clone" first-action="promote" then="web1" then-action="start"
           symmetrical="{symmetrical}"/>"""


class Cluster:
    """A simulated cluster that has started all it can."""

    def __init__(self, folder: Path, resources: str, constraints: str, *, nodes: int, scores: dict[str, dict]) -> None:
        self.folder = folder
        numbers = {f"n{number}": number for number in range(1, nodes + 1)}
        avoid = "".join(
            f'<rsc_location id="away-{name}" rsc="fence-{name}" node="{name}" score="-INFINITY"/>' for name in numbers
        )
        first = folder / "first.xml"
        first.write_text(
            CIB.format(
                nodes="".join(NODE.format(number=number, name=name) for name, number in numbers.items()),
                fencing="".join(FENCING.format(name=name) for name in numbers),
                resources=resources,
                constraints=avoid + constraints,
                states="".join(_state(name, number, scores.get(name, {})) for name, number in numbers.items()),
            )
        )
        self.path = folder / "running.xml"
        assert verified(first) == ""
        self.simulated(first, "--save-output", str(self.path))

    def simulated(self, path: Path, *words: str) -> str:
        return HOST.run("crm_simulate", "-x", str(path), "-S", *words, timeout=60).out

    def after(self, *words: str, edit: tuple[str, ...] = ()) -> Transition:
        """Return what Pacemaker does after a fault (words of crm_simulate), or an edit of the CIB by a command."""
        path = self.folder / "after.xml"
        path.write_text(self.path.read_text())
        if edit:
            HOST.run(*edit, timeout=60, env={"CIB_file": str(path)})
        return Transition(self, self.simulated(path, *words, "--save-output", str(self.folder / "next.xml")))

    def on_standby(self, node: str, *words: str) -> Transition:
        return self.after(*words, edit=("crm_attribute", "-t", "nodes", "-N", node, "-n", "standby", "-v", "on"))

    def moved(self, to: str, *words: str) -> Transition:
        return self.after(*words, edit=("crm_resource", "-r", "web1", "--move", "-N", to))

    def where(self) -> dict[str, str]:
        """Return where each resource runs."""
        shown = HOST.run("crm_simulate", "-x", str(self.path), timeout=60).out
        return dict(re.findall(r"\* (\S+)\s+\(\S+\):\s+Started (\S+)", shown))


class Transition:
    """What the scheduler decided, and in which order the actions ran."""

    def __init__(self, cluster: Cluster, shown: str) -> None:
        self.cluster = cluster
        summary = shown.split("Transition Summary:\n")[-1].split("\n\n")[0]
        lines = [re.sub(r"[\s()*]+", " ", line).strip() for line in summary.splitlines() if "*" in line]
        self.words = {line.split()[1]: line.split()[0] for line in lines if not line.startswith("Fence")}
        self.fenced = [line.split()[2] for line in lines if line.startswith("Fence")]
        ran = re.findall(r"Resource action: (\S+)\s+(\S+) on (\S+)", shown.split("Executing Cluster Transition:")[-1])
        self.actions = [
            f"{name} {action} {node}"
            for name, action, node in ran
            if not action.startswith(("monitor", "notify", "cancel"))
        ]

    def of(self, *names: str) -> list[str]:
        """Return the actions of some resources, in their order."""
        return [action for action in self.actions if action.split()[0].partition(":")[0] in names]

    def until_settled(self) -> list[str]:
        """Let the cluster go on until it has nothing more to do; return the actions on DRBD and guest."""
        path = self.cluster.folder / "next.xml"
        done: list[str] = []
        for _ in range(5):
            later = Transition(self.cluster, self.cluster.simulated(path, "--save-output", str(path)))
            if not later.words:
                return done
            done += later.of("web1", "primary-r1", "drbd-r1")
        pytest.fail(f"the cluster does not come to rest: {done}")


def _state(name: str, number: int, scores: dict[str, int]) -> str:
    score = "".join(SCORE.format(number=number, attribute=key, score=value) for key, value in scores.items())
    return STATE.format(number=number, name=name, score=score)


def verified(path: Path) -> str:
    """Return what Pacemaker finds wrong with a CIB."""
    done = HOST.run("crm_verify", "-V", "-x", str(path), timeout=60, ok=None)
    return done.out + done.err


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    missing = [name for name in ("crm_simulate", "crm_verify", "crm_attribute", "cibadmin") if HOST.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; they are in a lab node (tests/lab/test_contract_in_node.py)")


def ours(folder: Path, *, nodes: int, replicas: int, more: str = "", scores: dict[str, int] | None = None) -> Cluster:
    """Return a cluster with the set of kvmha; n1, n2 and so on have the replicas."""
    known = scores or {f"n{number}": 10000 for number in range(1, replicas + 1)}
    away = "".join(
        f'<rsc_location id="no-replica-n{number}" rsc="drbd-r1-clone" node="n{number}" score="-INFINITY"/>'
        for number in range(replicas + 1, nodes + 1)
    )
    prefers = '<rsc_location id="web1-prefers" rsc="web1" node="n1" score="100"/>'
    return Cluster(
        folder,
        DEVICE.format(replicas=replicas),
        FOLLOWING + away + prefers + more,
        nodes=nodes,
        scores={name: {"drbd-promotion-score-r1": score} for name, score in known.items()},
    )


@pytest.fixture(scope="module", params=[(2, 2), (3, 2), (3, 3)], ids=["two-nodes", "three-nodes", "three-replicas"])
def cluster(request, tmp_path_factory) -> Cluster:
    """Return a cluster of each size, its guest on n1."""
    nodes, replicas = request.param
    return ours(tmp_path_factory.mktemp("cib"), nodes=nodes, replicas=replicas)


# ------------------------------------------------------------------ the set of kvmha


def test_device_and_guest_start_and_nothing_remains_to_be_done(cluster):
    where = cluster.where()
    assert (where["primary-r1"], where["web1"]) == ("n1", "n1")
    assert cluster.after().words == {}


def test_a_move_is_live_and_two_nodes_may_write_only_while_it_lasts(cluster):
    move = cluster.moved("n2")
    assert move.words == {"primary-r1": "Migrate", "web1": "Migrate"}
    assert move.actions == [
        "primary-r1 migrate_to n1",
        "primary-r1 migrate_from n2",
        "web1 migrate_to n1",
        "web1 migrate_from n2",
        "web1 stop n1",
        "primary-r1 stop n1",
    ]
    assert move.until_settled() == []


def test_a_ban_is_a_live_move_too(cluster):
    move = cluster.after(edit=("crm_resource", "-r", "web1", "--ban", "-N", "n1"))
    assert [name for name, word in move.words.items() if word == "Migrate"] == LIVE
    assert move.until_settled() == []


def test_standby_moves_the_guest_live_before_the_device_stops(cluster):
    standby = cluster.on_standby("n1")
    assert [name for name, word in standby.words.items() if word == "Migrate"] == LIVE
    order = standby.of("web1", "primary-r1", "drbd-r1")
    target = order[1].split()[-1]
    assert order == [
        "primary-r1 migrate_to n1",
        f"primary-r1 migrate_from {target}",
        "web1 migrate_to n1",
        f"web1 migrate_from {target}",
        "web1 stop n1",
        "primary-r1 stop n1",
        "drbd-r1 stop n1",
    ]
    assert standby.until_settled() == []


def test_a_lost_node_is_fenced_before_another_one_may_write(cluster):
    lost = cluster.after("--node-fail", "n1")
    assert lost.fenced == ["n1"]
    assert (lost.words["primary-r1"], lost.words["web1"]) == ("Move", "Move")
    order = lost.of("web1", "primary-r1", "drbd-r1")
    assert order == [f"primary-r1 start {order[0].split()[-1]}", f"web1 start {order[0].split()[-1]}"]
    assert lost.until_settled() == []


def test_the_lost_node_comes_back_with_its_device_and_without_the_guest(cluster):
    cluster.after("--node-fail", "n1")
    path = cluster.folder / "next.xml"
    back = Transition(cluster, cluster.simulated(path, "--node-up", "n1", "--save-output", str(path)))
    assert back.of("web1", "primary-r1", "drbd-r1") == ["drbd-r1 start n1"]
    assert back.until_settled() == []


@pytest.mark.parametrize(
    ("fails", "recovery"),
    [
        pytest.param(
            "primary-r1_migrate_to_0@n1",
            ["web1 stop n1", "primary-r1 stop n2", "primary-r1 stop n1", "primary-r1 start n2", "web1 start n2"],
            id="the-window-does-not-open",
        ),
        pytest.param(
            "primary-r1_migrate_from_0@n2",
            ["web1 stop n1", "primary-r1 stop n1", "primary-r1 stop n2", "primary-r1 start n2", "web1 start n2"],
            id="the-target-may-not-write",
        ),
        pytest.param(
            "web1_migrate_to_0@n1",
            ["web1 stop n2", "web1 stop n1", "primary-r1 stop n1", "web1 start n2"],
            id="the-guest-does-not-move",
        ),
        pytest.param(
            "web1_migrate_from_0@n2",
            ["web1 stop n1", "web1 stop n2", "primary-r1 stop n1", "web1 start n2"],
            id="the-guest-does-not-arrive",
        ),
    ],
)
def test_after_a_failed_move_one_node_writes_and_the_guest_runs_once(cluster, fails, recovery):
    failed = cluster.moved("n2", "--op-fail", f"{fails}=1")
    # Two stops on two nodes have no order between them.
    assert sorted(failed.until_settled()) == sorted(recovery)


def test_the_guest_that_fails_is_restarted_and_its_device_stays(cluster):
    failed = cluster.after("--op-inject", "web1_monitor_10000@n1=1")
    assert failed.actions == ["web1 stop n1", "web1 start n1"]


def test_a_failed_device_takes_the_guest_down_before_it_stops(cluster):
    failed = cluster.after("--op-inject", "primary-r1_monitor_10000@n1=1")
    assert failed.actions == ["web1 stop n1", "primary-r1 stop n1", "primary-r1 start n1", "web1 start n1"]


def test_a_replica_without_a_score_gets_no_guest(tmp_path):
    cluster = ours(tmp_path, nodes=2, replicas=2, scores={"n1": 10000})
    lost = cluster.after("--node-fail", "n1")
    assert (lost.fenced, lost.of("web1", "primary-r1")) == (["n1"], [])


def test_a_guest_leaves_live_from_a_node_whose_disk_failed(tmp_path):
    cluster = ours(tmp_path, nodes=2, replicas=2)
    moved = cluster.after(
        edit=("crm_attribute", "-t", "status", "-N", "n1", "-n", "drbd-promotion-score-r1", "-v", "1000")
    )
    assert moved.words == {"primary-r1": "Migrate", "web1": "Migrate"}


def test_of_two_nodes_that_exclude_each_other_only_the_first_comes_through(tmp_path):
    cluster = ours(tmp_path, nodes=2, replicas=2)
    edit = {"CIB_file": str(cluster.path)}
    holder = cibadmin.Holder(name="primary-r1", primitive="primary-r1")
    for own, peer, codes in (("n1", "n2", (0,)), ("n2", "n1", cibadmin.EXISTS), ("n1", "n2", cibadmin.EXISTS)):
        xml = cibadmin.exclusion_xml("r1", holder, own=own, peer=peer)
        assert HOST.run(*cibadmin.create_argv(xml), timeout=60, env=edit, ok=None).rc in codes
    (found,) = cibadmin.parse(cluster.path.read_text(), "r1").exclusions
    assert found.node == "n2"
    lost = cluster.after("--node-fail", "n1")
    assert (lost.fenced, lost.of("web1", "primary-r1")) == (["n1"], [])
    for _ in range(2):
        HOST.run(*cibadmin.delete_argv(found.identity), timeout=60, env=edit)
    assert cibadmin.parse(cluster.path.read_text(), "r1").exclusions == ()


# ------------------------------------------------------- the sets with a promotable clone


def promotable(folder: Path, *, promoted: int, symmetrical: str, nodes: int = 2) -> Cluster:
    scores = {f"n{number}": {"master-drbd-r1": 10000 - number} for number in range(1, nodes + 1)}
    return Cluster(
        folder,
        PROMOTABLE.format(promoted=promoted, replicas=nodes),
        PROMOTED.format(symmetrical=symmetrical),
        nodes=nodes,
        scores=scores,
    )


@pytest.mark.parametrize(
    ("promoted", "symmetrical", "move", "standby"),
    [
        pytest.param(1, "true", "Move", "Move", id="one-promoted-restarts-the-guest"),
        pytest.param(2, "true", "Migrate", "Move", id="two-promoted-restart-it-on-standby"),
        pytest.param(2, "false", "Migrate", "Migrate", id="two-promoted-asymmetrical"),
    ],
)
def test_what_a_promotable_clone_does_to_its_guest(tmp_path, promoted, symmetrical, move, standby):
    cluster = promotable(tmp_path, promoted=promoted, symmetrical=symmetrical)
    assert cluster.moved("n2").words["web1"] == move
    assert cluster.on_standby("n1").words["web1"] == standby


def test_one_promoted_and_an_asymmetrical_order_take_the_device_from_under_the_guest(tmp_path):
    move = promotable(tmp_path, promoted=1, symmetrical="false").moved("n2")
    assert move.words["web1"] == "Migrate"
    assert move.actions.index("drbd-r1 demote n1") < move.actions.index("web1 migrate_to n1")


def test_two_promoted_are_promoted_all_the_time(tmp_path):
    """There is no window that an agent could open: the scheduler promotes as many replicas as it may."""
    cluster = promotable(tmp_path, promoted=2, symmetrical="false")
    shown = HOST.run("crm_simulate", "-x", str(cluster.path), timeout=60).out
    assert re.search(r"(Promoted|Masters): \[ n1 n2 \]", shown)
