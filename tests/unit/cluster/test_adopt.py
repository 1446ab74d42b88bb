"""What an adoption changes, decided on paper: parameters in the words of the other agent, and the XML of a resource."""

from __future__ import annotations

import pytest

from kvmha.cluster import adopt_evidence, adopt_parameters, adopt_plan
from kvmha.errors import UserError
from kvmha.resources.drbd.params import PARAMS as REPLICA
from kvmha.resources.floating_ip.params import PARAMS as ADDRESS
from kvmha.resources.virtual_domain.params import PARAMS as GUEST
from kvmha.tools import cib

KNOWN = {
    "ocf:kvmha:VirtualDomain": frozenset(param.name for param in GUEST),
    "ocf:kvmha:FloatingIP": frozenset(param.name for param in ADDRESS),
    "ocf:kvmha:DRBD": frozenset(param.name for param in REPLICA),
    "ocf:heartbeat:VirtualDomain": frozenset({"config", "hypervisor", "migration_transport", "monitor_scripts"}),
    "ocf:linbit:drbd": frozenset({"drbd_resource", "drbdconf", "adjust_master_score", "wfc_timeout"}),
    "ocf:heartbeat:IPaddr2": frozenset({"ip", "nic", "cidr_netmask", "iflabel", "arp_count", "lvs_ipv6_addrlabel"}),
}

CLUSTER = """\
<cib epoch="1"><configuration><crm_config/><nodes/><resources>
  <primitive id="web1" class="ocf" provider="heartbeat" type="VirtualDomain">
    <instance_attributes id="web1-ia"><nvpair id="web1-config" name="config" value="/etc/web1.xml"/>
      <nvpair id="web1-unset" name="unset_utilization_cpu" value="true"/></instance_attributes>
    <meta_attributes id="web1-meta"><nvpair id="web1-prio" name="priority" value="5"/></meta_attributes>
    <operations><op id="web1-mon" name="monitor" interval="10s"/></operations></primitive>
  <group id="office"><primitive id="vip" class="ocf" provider="heartbeat" type="IPaddr2">
    <instance_attributes id="vip-ia"><nvpair id="vip-ip" name="ip" value="192.0.2.9"/></instance_attributes></primitive>
  </group>
  <clone id="everywhere"><primitive id="shared" class="ocf" provider="heartbeat" type="IPaddr2">
    <instance_attributes id="sh-ia"><nvpair id="sh-ip" name="ip" value="192.0.2.8"/></instance_attributes></primitive>
  </clone>
  <primitive id="fence" class="stonith" type="fence_ipmilan"/>
</resources><constraints/></configuration></cib>"""


def forth(agent, **params):
    return adopt_parameters.forth(agent, params, KNOWN[adopt_parameters.SHELL[agent]])


def guest(**params):
    return forth("ocf:heartbeat:VirtualDomain", **{"config": "/etc/a.xml", **params})


def address(**params):
    return forth("ocf:heartbeat:IPaddr2", **{"ip": "192.0.2.1", **params})


def make(text=CLUSTER, names=("web1",), direction=adopt_plan.FORTH, originals=None):
    return adopt_plan.make(cib.read(text), names, direction, KNOWN.get, originals or {})


def changed(text, *edits):
    root = cib.tree(text)
    for edit, plan in edits:
        edit(root, plan)
    return cib.text_of(root)


# ------------------------------------------------------------------ parameters


def test_names_that_mean_the_same_stay():
    same = {"migration_transport": "ssh", "force_stop": "true", "remoteuri": "qemu+ssh://%n/system", "snapshot": "/s"}
    assert guest(**same).params == {"config": "/etc/a.xml", **same}
    same = {"nic": "br0", "cidr_netmask": "24", "arp_count": "5", "noprefixroute": "true", "flush_routes": "1"}
    assert address(**same).params == {"ip": "192.0.2.1", **same}


@pytest.mark.parametrize(
    ("given", "gone"),
    [({"unset_utilization_cpu": "true"}, "unset_utilization_cpu"), ({"of_the_future": "1"}, "of_the_future")],
)
def test_what_a_guest_has_no_parameter_for_is_left_out_and_said(given, gone):
    found = guest(**given)
    assert gone not in found.params
    assert any(note.startswith(f"{gone}=") and "is left out" in note for note in found.notes)
    assert found.refusals == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"config": "a.xml"}, "no absolute path"),
        ({"hypervisor": "lxc:///system"}, "other hypervisors"),
        ({"seapath": "true"}, "RBD"),
        ({"monitor_scripts": "/a check"}, "names check"),
    ],
)
def test_a_guest_that_would_be_another_thing_is_refused(given, said):
    assert any(said in sentence for sentence in guest(**given).refusals)


def test_scripts_of_the_monitor_get_a_monitor_of_their_depth():
    assert guest().monitor is None
    found = guest(monitor_scripts="/a /b")
    assert (found.monitor["OCF_CHECK_LEVEL"], found.params["monitor_scripts"]) == ("20", "/a /b")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"cidr_netmask": "255.255.255.0"}, {"cidr_netmask": "24"}),
        ({"nic": "br0:office"}, {"nic": "br0", "iflabel": "office"}),
        ({"arp_count": "500"}, {"arp_count": "100"}),
        ({"arp_sender": "send_arp", "proto": "static", "run_arping": "true", "clusterip_hash_seed": "x"}, {}),
        ({"lvs_ipv6_addrlabel": "true"}, {}),
    ],
)
def test_an_address_in_other_words(given, wanted):
    found = address(**given)
    assert found.params == {"ip": "192.0.2.1", **wanted}
    assert found.notes
    assert found.refusals == ()


PROMOTABLE = {"promotable": "true"}


def replica(clone=PROMOTABLE, **params):
    known = KNOWN["ocf:kvmha:DRBD"]
    return adopt_parameters.forth("ocf:linbit:drbd", {"drbd_resource": "r0", **params}, known, clone=clone)


def test_a_replica_in_other_words():
    same = {"drbdconf": "/etc/drbd.conf", "adjust_master_score": "5 10 1000 10000", "wfc_timeout": "30"}
    gone = dict.fromkeys(adopt_parameters.REPLICA_GONE, "true")
    found = replica(**same, **gone)
    assert (found.params, found.refusals, len(found.notes)) == ({"drbd_resource": "r0", **same}, (), len(gone))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        pytest.param({"wfc_timeout": "never"}, {"wfc_timeout": "0"}, id="no-wait"),
        pytest.param({"wfc_timeout": "3600"}, {"wfc_timeout": "600"}, id="longer-than-the-agent-takes"),
        pytest.param({"adjust_master_score": "5 10 1000"}, {}, id="three-figures"),
        pytest.param({"adjust_master_score": "5 10 1000 900"}, {}, id="figures-that-fall"),
        pytest.param({"adjust_master_score": "a b c d"}, {}, id="no-figures"),
    ],
)
def test_what_the_shell_agent_passes_over_and_ours_would_refuse(given, wanted):
    found = replica(**given)
    assert (found.params, found.refusals, len(found.notes)) == ({"drbd_resource": "r0", **wanted}, (), 1)


@pytest.mark.parametrize("clone", [None, {}, {"promotable": "false"}])
def test_a_replica_outside_a_promotable_clone_is_refused(clone):
    assert "promotable clone" in replica(clone=clone).refusals[0]


@pytest.mark.parametrize("word", ["promoted-max", "master-max"])
def test_two_sides_that_are_promoted_at_all_times_are_said(word):
    assert any(note.startswith("promoted-max=2") for note in replica(clone={**PROMOTABLE, word: "2"}).notes)
    assert replica(clone={**PROMOTABLE, word: "1"}).notes == ()


@pytest.mark.parametrize(
    ("clone", "params", "said"),
    [
        pytest.param({**PROMOTABLE, "notify": "true"}, {}, None, id="as-it-was"),
        pytest.param(PROMOTABLE, {"ignore_missing_notifications": "true"}, None, id="told-to-do-without"),
        pytest.param(PROMOTABLE, {}, "no notify=true", id="nobody-is-notified"),
        pytest.param({"notify": "true"}, {}, "no promotable clone", id="plain-clone"),
        pytest.param(None, {"ignore_missing_notifications": "true"}, "no promotable clone", id="no-clone"),
    ],
)
def test_the_way_back_of_a_replica_wants_what_the_shell_agent_wants(clone, params, said):
    known = KNOWN["ocf:linbit:drbd"]
    found = adopt_parameters.back("ocf:kvmha:DRBD", {"drbd_resource": "r0", **params}, known, clone=clone)
    assert (found.refusals == ()) if said is None else (len(found.refusals) == 1 and said in found.refusals[0])


@pytest.mark.parametrize(
    "around",
    [
        pytest.param('<clone id="r0-clone">{meta}{r0}</clone>', id="clone"),
        pytest.param('<master id="r0-clone">{r0}</master>', id="master-of-1.1"),
        pytest.param('<clone id="r0-clone">{meta}<group id="r0-group">{r0}</group></clone>', id="group-in-clone"),
    ],
)
def test_a_replica_stays_in_its_promotable_clone(around):
    meta = """<meta_attributes id="r0-m"><nvpair id="r0-p" name="promotable" value="true"/></meta_attributes>"""
    r0 = """<primitive id="r0" class="ocf" provider="linbit" type="drbd"><instance_attributes id="r0-i">
        <nvpair id="r0-r" name="drbd_resource" value="r0"/></instance_attributes></primitive>"""
    text = CLUSTER.replace("<resources>", f"<resources>{around.format(meta=meta, r0=r0)}")
    plan = make(text, ("r0",))
    assert plan.refusals == ()
    seen = cib.read(changed(text, (adopt_plan.hold, plan), (adopt_plan.replace, plan), (adopt_plan.release, plan)))
    assert (seen.resource("r0").agent, seen.resource("r0-clone").is_promotable) == ("ocf:kvmha:DRBD", True)


@pytest.mark.parametrize(
    ("nodes", "scores", "said"),
    [
        pytest.param(("n1", "n2"), {"n1": "10000", "n2": "10000"}, None, id="in-step"),
        pytest.param(("n1",), {"n1": "10000"}, "on no second one", id="alone"),
        pytest.param((), {}, "on no node", id="stopped"),
        pytest.param(("n1", "n2"), {"n1": "10000", "n2": "1000"}, "on n2 its promotion score is 1000", id="peer-away"),
        pytest.param(("n1", "n2"), {"n1": "10000"}, "on n2 its promotion score is not set", id="no-score"),
        pytest.param(("n1", "n2"), {"n1": "10000", "n2": "INFINITY"}, "and not 10000", id="no-number"),
    ],
)
def test_sides_that_are_not_in_step_are_told_by_the_shell_agents_scores(nodes, scores, said):
    attributes = {node: {"master-r0": score} for node, score in scores.items()}
    found = adopt_evidence.why_not_in_step("r0", 10000, nodes, attributes)
    assert (found is None) if said is None else (said in found)


@pytest.mark.parametrize(
    ("location", "away"),
    [
        pytest.param('rsc="vip" node="n3" score="-INFINITY"', set(), id="looked-for-all-the-same"),
        pytest.param('rsc="vip" node="n3" score="0" resource-discovery="never"', {"n3"}, id="never"),
        pytest.param('rsc="office" node="n3" score="0" resource-discovery="never"', {"n3"}, id="of-its-group"),
        pytest.param('rsc="vip" node="n1" score="0" resource-discovery="exclusive"', {"n2", "n3"}, id="exclusive"),
        pytest.param('rsc="web1" node="n3" score="0" resource-discovery="never"', set(), id="of-another"),
    ],
)
def test_nobody_waits_for_an_answer_from_where_the_cluster_never_looks(location, away):
    text = CLUSTER.replace("<constraints/>", f'<constraints><rsc_location id="l" {location}/></constraints>')
    assert adopt_evidence.unasked(cib.read(text), "vip", ("n1", "n2", "n3")) == away


def test_the_label_that_the_shell_agent_gives_an_ipv6_address_stays():
    assert address(ip="2001:db8::1").params["lvs_ipv6_addrlabel"] == "true"
    assert address(ip="2001:db8::1", lvs_ipv6_addrlabel="false").params["lvs_ipv6_addrlabel"] == "false"


@pytest.mark.parametrize(
    "given",
    [{"mac": "01:00:5e:00:00:01"}, {"clusterip_hash": "sourceip"}, {"unique_clone_address": "yes"},
     {"cidr_netmask": "255.0.255.0"}],
)  # fmt: skip
def test_an_address_on_several_nodes_and_a_wrong_mask_are_refused(given):
    assert address(**given).refusals


@pytest.mark.parametrize(
    ("mask", "length"), [("255.255.255.0", 24), ("255.255.255.255", 32), ("0.0.0.0", 0), ("255.0.255.0", None)]
)
def test_prefix_lengths(mask, length):
    assert adopt_parameters.prefix_length(mask) == length


def test_the_way_back_refuses_what_the_shell_agent_cannot_know():
    known = KNOWN["ocf:heartbeat:VirtualDomain"]
    found = adopt_parameters.back("ocf:kvmha:VirtualDomain", {"domain": "web1", "on_paused": "failed"}, known)
    assert "domain=web1" in found.refusals[0]
    assert any(note.startswith("on_paused=failed") for note in found.notes)


# ----------------------------------------------------------------------- plans


def test_only_what_can_be_adopted_is_adopted():
    plan = make(names=())
    assert [swap.resource for swap in plan.swaps] == ["web1", "vip", "shared"]
    assert [sentence.partition(":")[0] for sentence in plan.refusals] == ["shared"]


@pytest.mark.parametrize(
    ("name", "said"), [("wbe1", "did you mean web1"), ("office", "name what is inside it: vip"), ("fence", "expected")]
)
def test_a_name_that_cannot_be_meant(name, said):
    with pytest.raises(UserError, match=said):
        make(names=(name,))


def test_an_agent_that_is_not_installed_is_refused():
    plan = adopt_plan.make(cib.read(CLUSTER), ("web1",), adopt_plan.FORTH, lambda _agent: None, {})
    assert "not installed" in plan.refusals[0]


def test_parameters_with_a_rule_and_templates_are_refused():
    ruled = CLUSTER.replace(
        '<instance_attributes id="vip-ia">', '<instance_attributes id="vip-ia"><rule id="r" score="0"/>'
    )
    assert "with a rule" in make(ruled, ("vip",)).refusals[0]


# ---------------------------------------------------------------- the document


def test_all_the_way_forth_and_back_leaves_the_document_as_it_was():
    plan = make(names=("web1", "vip"))
    ours = changed(CLUSTER, (adopt_plan.hold, plan), (adopt_plan.replace, plan), (adopt_plan.release, plan))
    seen = cib.read(ours)
    assert (seen.resource("web1").agent, seen.resource("web1").params) == (
        "ocf:kvmha:VirtualDomain", {"config": "/etc/web1.xml"},
    )  # fmt: skip
    assert seen.resource("web1").meta == {"priority": "5"}
    originals = {swap.resource: (swap.old_agent, swap.old_params) for swap in plan.swaps}
    back = make(ours, ("web1", "vip"), adopt_plan.BACK, originals)
    shell = changed(ours, (adopt_plan.hold, back), (adopt_plan.replace, back), (adopt_plan.release, back))
    assert cib.read(shell) == cib.read(CLUSTER)


def test_what_was_set_since_is_named_on_the_way_back():
    plan = make()
    ours = changed(CLUSTER, (adopt_plan.replace, plan)).replace(
        'name="config"', 'name="migration_speed" value="9"/><nvpair id="x" name="config"'
    )
    originals = {"web1": (plan.swaps[0].old_agent, plan.swaps[0].old_params)}
    back = make(ours, ("web1",), adopt_plan.BACK, originals)
    assert any("migration_speed=9" in note for note in back.swaps[0].notes)
    assert back.swaps[0].new_params == plan.swaps[0].old_params


def test_maintenance_is_a_block_of_its_own_and_comes_once():
    plan = make()
    held = changed(CLUSTER, (adopt_plan.hold, plan), (adopt_plan.hold, plan))
    meta = cib.read(held).resource("web1").meta
    assert (meta["maintenance"], meta[adopt_plan.HOLD], meta["priority"]) == ("true", "forth", "5")
    assert cib.read(changed(held, (adopt_plan.release, plan))) == cib.read(CLUSTER)


@pytest.mark.parametrize("direction", [adopt_plan.FORTH, adopt_plan.BACK])
@pytest.mark.parametrize("steps", [1, 2])
def test_what_an_interrupted_run_left_is_taken_up_whatever_is_asked_for(direction, steps):
    first = make()
    left = changed(CLUSTER, *[(adopt_plan.hold, first), (adopt_plan.replace, first)][:steps])
    originals = {"web1": (first.swaps[0].old_agent, first.swaps[0].old_params)}
    names = ("vip",) if direction == adopt_plan.FORTH else ()
    plan = make(left, names, direction, originals)
    assert "web1" in [swap.resource for swap in plan.swaps]
    done = changed(left, (adopt_plan.hold, plan), (adopt_plan.replace, plan), (adopt_plan.release, plan))
    wanted = "ocf:kvmha:VirtualDomain" if direction == adopt_plan.FORTH else "ocf:heartbeat:VirtualDomain"
    assert cib.read(done).resource("web1").agent == wanted
    assert "maintenance" not in cib.read(done).resource("web1").meta


def test_the_way_out_restores_what_was_there():
    plan = make()
    half = changed(CLUSTER, (adopt_plan.hold, plan), (adopt_plan.replace, plan))
    assert cib.read(changed(half, (adopt_plan.put_back, plan), (adopt_plan.release, plan))) == cib.read(CLUSTER)


def test_a_monitor_that_was_added_goes_on_the_way_back():
    scripted = CLUSTER.replace('name="unset_utilization_cpu" value="true"', 'name="monitor_scripts" value="/check"')
    plan = make(scripted)
    ours = changed(scripted, (adopt_plan.replace, plan))
    assert [op.options for op in cib.read(ours).resource("web1").operations] == [{}, {"OCF_CHECK_LEVEL": "20"}]
    back = make(ours, ("web1",), adopt_plan.BACK)
    assert [op.id for op in cib.read(changed(ours, (adopt_plan.replace, back))).resource("web1").operations] == [
        "web1-mon"
    ]
