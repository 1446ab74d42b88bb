"""kvmha cluster check --live on a real cluster: broken by hand, found, mended, and clean again."""

from __future__ import annotations

import json
import re

from kvmha.cluster import lint
from kvmha.cluster.lint.rule import NODES
from kvmha.lab.formation import NODE_FOLDER

STOP_TIMEOUT = """
id=$(cibadmin --query --xpath "//primitive[@id='web1']//op[@name='stop']" | sed -n 's/.* id="\\([^"]*\\)".*/\\1/p')
cibadmin --modify --xml-text "<op id=\\"$id\\" timeout=\\"{}\\"/>"
"""

CONF = "/etc/corosync/corosync.conf"
AUTOSTART = "/etc/libvirt/qemu/autostart"

# Where, what breaks it, what undoes that, and what is found then. The token is only written down on one node.
BREAKS = (
    ("n1", "crm_attribute --name stonith-enabled --update false", "crm_attribute --name stonith-enabled --update true",
     {"fencing-off"}),
    ("n1", f"sed -i.kept -E 's/token: [0-9]+/token: 1400/' {CONF}", f"mv {CONF}.kept {CONF}",
     {"conf-differs", "runtime-differs"}),
    ("n2", f"mkdir -p {AUTOSTART} && ln -s /etc/kvmha/guests/web1.xml {AUTOSTART}/web1.xml", f"rm {AUTOSTART}/web1.xml",
     {"autostart"}),
    ("n2", "ip link set eth1 mtu 1400", "ip link set eth1 mtu 1500", {"mtu-differs"}),
    ("n3", "echo '<!-- mine -->' >> /etc/kvmha/guests/web2.xml", "sed -i '$d' /etc/kvmha/guests/web2.xml",
     {"definition"}),
    ("n3", "systemctl --quiet enable libvirt-guests.service", "systemctl --quiet disable libvirt-guests.service",
     {"libvirt-guests"}),
    ("n1", "crm_resource --ban --resource web3 --node n1", "crm_resource --clear --resource web3", {"leftover-move"}),
    ("n1", STOP_TIMEOUT.format("30s"), STOP_TIMEOUT.format("90s"), {"stop-timeout"}),
)  # fmt: skip


def check(cluster, *arguments, code=None):
    """Check the cluster from n1 with what the other nodes tell; return the report."""
    files = []
    for node in cluster.nodes[1:]:
        told = cluster.run(node, "kvmha", "cluster", "facts").out
        cluster.lab.copy_in("n1", f"/root/check-{node}.json", told)
        files += ["--facts", f"/root/check-{node}.json"]
    done = cluster.run("n1", "kvmha", "cluster", "check", "--live", "--json", *files, *arguments, ok=(0, 1))
    report = json.loads(done.out)
    assert done.rc == (1 if report["errors"] else 0)
    assert code is None or done.rc == code
    return report


def rules(report):
    return {finding["rule"] for finding in report["findings"]}


def do(cluster, node, script):
    cluster.run(node, "sh", "-c", script)


def test_what_is_broken_by_hand_is_found_and_is_clean_again_when_it_is_undone(cluster):
    before = check(cluster)
    assert before["unknown"] == []
    assert before["rules"] == len(lint.RULES)
    undo = []
    try:
        for node, script, back, _ in BREAKS:
            undo.append((node, back))
            do(cluster, node, script)
        broken = check(cluster, code=1)
    finally:
        for node, back in reversed(undo):
            do(cluster, node, back)
    assert rules(broken) - rules(before) == {rule for *_, found in BREAKS for rule in found}
    after = check(cluster)
    assert rules(after) == rules(before)


def test_a_live_cluster_and_the_description_that_it_was_made_of_get_the_same_findings(cluster):
    """But for what is on the nodes themselves, and what only cluster.yaml tells."""
    described = json.loads(
        cluster.run("n1", "kvmha", "cluster", "check", "--json", f"{NODE_FOLDER}/cluster.yaml", ok=(0, 1)).out
    )
    on_nodes = {rule.id for rule in lint.RULES if NODES in rule.needs}
    live = check(cluster, f"{NODE_FOLDER}/cluster.yaml")
    assert rules(live) - on_nodes == rules(described)
    assert not {finding["rule"] for finding in described["findings"] if finding["severity"] == "error"}
    assert [each["node"] for each in live["recovery"]] == list(cluster.nodes)
    assert [each["lost"] for each in live["recovery"]] == [each["lost"] for each in described["recovery"]]


def test_a_peer_that_cannot_be_asked_is_named_and_not_taken_for_well(cluster):
    done = cluster.run("n1", "kvmha", "cluster", "check", "--live", ok=(0, 1))
    said = done.out[done.out.index("not known, and so not checked:") :]
    assert re.search(r"n2: has not been asked", said)
    assert re.search(r"n3: has not been asked", said)


def test_facts_hold_no_password(cluster):
    text = cluster.run("n1", "cibadmin", "--query", "--xpath", "//nvpair[@name='password']").out
    password = re.search(r'value="([^"]+)"', text).group(1)
    told = json.loads(cluster.run("n1", "kvmha", "cluster", "facts").out)
    assert told["node"] == "n1"
    assert f'"{password}"' not in json.dumps(told)


def test_every_node_has_the_files_that_the_templates_render_for_it(cluster):
    for node in cluster.nodes:
        assert cluster.run(node, "sh", f"{NODE_FOLDER}/node.sh", "--dry-run").out == ""
        assert "table inet kvmha" in cluster.run(node, "nft", "list", "tables").out
        assert cluster.run(node, "sysctl", "-n", "net.ipv4.conf.all.arp_ignore").out.strip() == "1"
