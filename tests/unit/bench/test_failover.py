"""The setups of the bench of failovers, and what it makes of power cuts."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from kvmha.lab.plan import LabError, make_plan
from tests.bench import failover_setups as setups
from tests.bench import failover_tables as tables
from tests.bench.power_cut import PowerCut

PLAN = make_plan("bench", nodes=3)
PRESENT = """\
totem {
    version: 2
    cluster_name: bench
    transport: knet
    token: 7777
    crypto_cipher: aes256
    crypto_hash: sha256
    cluster_uuid: 1ea08ae391514e76a7446286cb529032
}

quorum {
    provider: corosync_votequorum
}
"""


def test_the_defaults_say_nothing_of_times():
    conf = setups.corosync_conf(setups.DEFAULTS, PLAN, PRESENT)
    assert "token" not in conf
    assert conf.splitlines()[:2] == ["totem {", "    version: 2"]
    assert conf.count("cluster_uuid: 1ea08ae391514e76a7446286cb529032") == 1
    assert conf.endswith("quorum {\n    provider: corosync_votequorum\n}\n")


@pytest.mark.parametrize("setup", [setups.TEMPLATES, setups.OURS], ids=lambda setup: setup.key)
def test_the_templates_say_the_token_and_keep_what_the_cluster_was_made_with(setup):
    conf = setups.corosync_conf(setup, PLAN, PRESENT)
    assert "token: " in conf
    assert "7777" not in conf
    assert conf.count("cluster_uuid: 1ea08ae391514e76a7446286cb529032") == 1
    assert conf.count("linknumber: ") == len(PLAN.nodes[0].addresses)
    again = setups.corosync_conf(setup, PLAN, conf)
    assert again == conf


def test_a_setup_can_be_taken_off_again():
    conf = setups.corosync_conf(setups.OURS, PLAN, PRESENT)
    assert setups.corosync_conf(setups.DEFAULTS, PLAN, conf) == setups.corosync_conf(setups.DEFAULTS, PLAN, PRESENT)


def test_a_file_without_a_totem_is_refused():
    with pytest.raises(LabError, match="no section totem"):
        setups.corosync_conf(setups.DEFAULTS, PLAN, "quorum {\n}\n")


def agents(xml):
    return {
        one.get("id"): f"{one.get('provider')}:{one.get('type')}"
        for one in ElementTree.fromstring(xml).iter("primitive")
        if one.get("class") == "ocf"
    }


def test_only_the_agents_differ_between_the_shell_agents_with_the_templates_and_ours():
    shell, ours = (setups.template_cib(setup, PLAN) for setup in (setups.TEMPLATES, setups.OURS))
    assert agents(ours) == {"web1": "kvmha:VirtualDomain", "vip": "kvmha:FloatingIP"}
    assert agents(shell) == {"web1": "heartbeat:VirtualDomain", "vip": "heartbeat:IPaddr2"}
    trees = [ElementTree.fromstring(xml) for xml in (shell, ours)]
    for name in ("crm_config", "rsc_defaults", "constraints"):
        texts = [ElementTree.tostring(tree.find(f"configuration/{name}")) for tree in trees]
        assert texts[0] == texts[1], name


def test_the_shell_agents_get_no_parameter_that_they_do_not_know():
    root = ElementTree.fromstring(setups.template_cib(setups.TEMPLATES, PLAN))
    for primitive in root.iter("primitive"):
        if primitive.get("provider") == "heartbeat":
            given = {pair.get("name") for pair in primitive.findall("instance_attributes/nvpair")}
            assert given <= set(setups.SHELL_PARAMS[primitive.get("type")])


def cut(**values):
    given = dict.fromkeys((name for name, _ in tables.PHASES if name not in ("after_lost", "boot")), None)
    return PowerCut(
        victim="n1", was_coordinator=False, fencing_asked=None, start_asked=None, ran_twice=False, load=0.5, stolen=0.0,
        **{**given, **values},
    )  # fmt: skip


def test_what_a_guest_needs_to_boot_is_not_counted_as_recovery():
    one = cut(lost=2.5, started=3.5, answers=11.5)
    assert (one.after_lost, one.boot) == (1.0, 8.0)


def test_a_phase_that_was_not_seen_is_no_number():
    one = cut(lost=2.5)
    assert (one.after_lost, one.boot) == (None, None)
    (found,) = tables.summaries({"ours": (one,)})
    assert (found.medians["lost"], found.medians["started"]) == (2.5, None)
    assert tables.aims((found,)) == ()


@pytest.mark.parametrize(
    ("ours", "reached"),
    [
        pytest.param(cut(lost=2.8, started=3.9), [True, True], id="both reached"),
        pytest.param(cut(lost=2.5, started=3.75), [False, True], id="slow after the loss"),
        pytest.param(cut(lost=3.5, started=4.25), [True, False], id="lost late"),
    ],
)
def test_the_aims_are_told_as_they_are(ours, reached):
    found = tables.summaries({"defaults": (cut(lost=8.0, started=10.0),), "ours": (ours,)})
    assert [aim.is_reached for aim in tables.aims(found)] == reached


def test_a_cut_is_told_in_a_line():
    said = tables.told(cut(lost=2.8, started=4.0).replace(was_coordinator=True, ran_twice=True))
    assert said == "n1, the coordinator: lost 2.80, QEMU runs 4.00; RAN TWICE"
