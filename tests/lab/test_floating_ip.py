"""ocf:kvmha:FloatingIP in a real node."""

from __future__ import annotations

import json

from tests.bench import address_cases, address_takeover

ADDRESS = "10.77.0.201"


def call(cluster, action, **params):
    return cluster.agent("n1", "FloatingIP", action, ip=ADDRESS, **params)


def test_start_finds_the_link_by_its_network_and_stop_removes_the_address_without_one(cluster):
    assert [call(cluster, action).rc for action in ("monitor", "start", "start", "monitor")] == [7, 0, 0, 0]
    assert f"{ADDRESS}/24" in cluster.run("n1", "ip", "-o", "addr", "show", "dev", "br0").out
    assert [call(cluster, action, nic="gone0").rc for action in ("stop", "stop", "monitor")] == [0, 0, 7]
    assert ADDRESS not in cluster.run("n1", "ip", "-o", "addr", "show").out


def test_an_address_on_the_wrong_link_is_no_healthy_one_and_stop_removes_it_there(cluster):
    cluster.run("n1", "ip", "addr", "add", f"{ADDRESS}/24", "dev", "eth1")
    done = call(cluster, "monitor", nic="br0")
    assert (done.rc, "is on eth1 and not on nic=br0" in done.err) == (1, True)
    assert call(cluster, "stop", nic="br0").rc == 0
    assert ADDRESS not in cluster.run("n1", "ip", "-o", "addr", "show").out


def test_ocf_tester_is_content_with_floating_ip(cluster):
    done = cluster.run(
        "n1", "ocf-tester", "-v", "-n", "test", "-o", f"ip={ADDRESS}", "/usr/lib/ocf/resource.d/kvmha/FloatingIP",
        timeout=120, ok=None,
    )  # fmt: skip
    assert done.rc == 0, done.out + done.err


def test_every_case_ends_well_and_is_recorded_beside_what_the_shell_agent_makes_of_it(cluster, checkout, build):
    wanted = {case.key: list(case.values) for case in address_cases.CASES}
    ours, theirs = (
        address_cases.act_out(cluster.lab, "n1", agent, tuple(wanted), str(checkout / "tests"))
        for agent in ("kvmha/FloatingIP", "heartbeat/IPaddr2")
    )
    both = {name: {"FloatingIP": ours[name], "IPaddr2": theirs[name]} for name in ours}
    (build / "floating-ip-cases.json").write_text(json.dumps(both, indent=2) + "\n")
    assert ours == wanted
    # Whether these cases are worth a comparison is seen by two that the shell agent has never answered otherwise.
    assert (theirs["route gone"], theirs["duplicate v4"][0]) == ([0, True], 0)


def test_clients_get_their_answers_back_and_the_shell_agent_is_measured_in_the_same_way(cluster):
    found = address_takeover.measure(cluster.lab, "n1", runs=1, say=lambda _: None)
    assert {(row.family, row.event) for row in found} == {
        (family, event) for family in ("IPv4", "IPv6") for event in address_takeover.EVENTS
    }
    # Times are no matter here; that a client was answered at all within the patience of the measurement is.
    assert all(row.ours.runs == row.ours.answered == 1 for row in found)
