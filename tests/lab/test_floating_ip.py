"""ocf:kvmha:FloatingIP in a real node."""

from __future__ import annotations

import json

ADDRESS = "10.77.0.201"

# What stop and monitor answer, and whether the address is there afterwards; tests/lab/floating_ip_cases.py says how.
WANTED = {
    "route gone": [0, False],
    "bad tuning": [0, False],
    "no parameters": [0, False],
    "link gone": [7, 0],
    "duplicate v4": [1, 7, False],
    "duplicate v6": [1, 7, False],
    "dadfailed": [1],
    "split": [190, 1],
    "start without carrier": [1],
    "carrier lost": [1],
    "no network": [1],
    "two links": [1, 0, False],
    "primary": [True],
}


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


def cases(cluster, checkout, agent):
    """Put all cases to an agent, in network namespaces of the node."""
    harness = (checkout / "tests/contract/namespaces.py").read_text()
    harness = harness.replace("Path(__file__).resolve().parents[2]", 'Path(".")')
    script = (checkout / "tests/lab/floating_ip_cases.py").read_text().replace("from __future__ import annotations", "")
    path = f"/usr/lib/ocf/resource.d/{agent}"
    done = cluster.run("n1", "/usr/bin/python3", "-", path, *WANTED, given=f"{harness}\n{script}", timeout=300)
    return json.loads(done.out.splitlines()[-1])


def test_every_case_ends_well_and_is_recorded_beside_what_the_shell_agent_makes_of_it(cluster, checkout, build):
    ours, theirs = (cases(cluster, checkout, agent) for agent in ("kvmha/FloatingIP", "heartbeat/IPaddr2"))
    both = {name: {"FloatingIP": ours[name], "IPaddr2": theirs[name]} for name in ours}
    (build / "floating-ip-cases.json").write_text(json.dumps(both, indent=2) + "\n")
    assert ours == WANTED
    # Whether these cases are worth a comparison is seen by two that the shell agent has never answered otherwise.
    assert (theirs["route gone"], theirs["duplicate v4"][0]) == ([0, True], 0)
