"""ocf:kvmha:FloatingIP in a real node."""

from __future__ import annotations

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
