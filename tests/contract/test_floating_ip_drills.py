"""FloatingIP in real network namespaces: what can happen to an address, and what the agent says and does then.

tests/lab/test_floating_ip.py puts the same cases to ocf:heartbeat:IPaddr2.
"""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from tests.contract.namespaces import PYTHON, Machine, Switch, kernel_has, kernel_tracks

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare") or not os.access(PYTHON, os.X_OK),
    reason="needs root, ip(8), unshare(1) and the system's Python for machines of its own",
)
V4, V6 = "10.77.0.100", "2001:db8::100"
both = pytest.mark.parametrize("ip", [V4, V6], ids=["v4", "v6"])


@pytest.fixture
def lan():
    """Two machines on a switch."""
    machines = [Switch(), Machine(), Machine()]
    switch, one, two = machines
    try:
        switch.plug(one, 1)
        switch.plug(two, 2)
        wait(lambda: "LOWER_UP" in one.ip("link", "show", "eth0") and "LOWER_UP" in two.ip("link", "show", "eth0"))
        yield machines
    finally:
        for machine in machines:
            machine.close()


ALONE = """
ip link add eth0 type veth peer name far0
ip link set eth0 up; ip link set far0 up
ip addr add 10.77.0.1/24 dev eth0
ip addr add 2001:db8::1/64 dev eth0 nodad
"""


@pytest.fixture
def node():
    """One machine; both ends of its cable are in it."""
    machine = Machine(ALONE)
    try:
        found(machine)
        yield machine
    finally:
        machine.close()


def wait(condition, limit=20.0):
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.05)


def cut(node):
    node.ip("link", "set", "far0", "down")


def heal(node):
    node.ip("link", "set", "far0", "up")


def lost(node):
    """Wait until a machine has noticed that its cable is cut."""
    wait(lambda: "NO-CARRIER" in node.ip("link", "show", "eth0"))


def found(node):
    wait(lambda: "LOWER_UP" in node.ip("link", "show", "eth0"))


# ------------------------------------------------------------ where the address is


@both
def test_an_address_comes_and_goes_and_leaves_nothing_behind(node, ip):
    assert node.codes("validate-all monitor start monitor start monitor stop stop monitor", ip=ip) == [
        0, 7, 0, 0, 0, 0, 0, 0, 7,
    ]  # fmt: skip
    assert node.run("find", "/run/kvmha", "-type", "f") == ""


@both
def test_a_stop_without_parameters_removes_what_was_started(node, ip):
    assert node.codes("start", ip=ip, nic="eth0") == [0]
    assert node.codes("monitor stop") == [0, 0]
    assert not node.has(ip)
    # Now nobody knows what this resource is, and nobody says that it is not there.
    assert node.codes("stop monitor") == [6, 6]


@both
def test_an_address_whose_route_and_network_are_gone_is_stopped_all_the_same(node, ip):
    node.run("sysctl", "-q", "-w", "net.ipv4.conf.eth0.promote_secondaries=1")
    assert node.codes("start", ip=ip, noprefixroute="true") == [0]
    base = "2001:db8::1/64" if ":" in ip else "10.77.0.1/24"
    node.ip("addr", "del", base, "dev", "eth0")
    assert node.codes("monitor stop monitor", ip=ip) == [0, 0, 7]
    assert not node.has(ip)
    assert node.says("start", ip=ip)[0] == 1, "no route is a passing condition, and bans no node"


@both
def test_an_address_on_the_wrong_link_or_on_two_is_no_healthy_one(node, ip):
    prefix = 64 if ":" in ip else 24
    node.ip("link", "add", "br9", "type", "bridge")
    node.ip("link", "set", "br9", "up")
    node.ip("addr", "add", f"{ip}/{prefix}", "dev", "br9", *(["nodad"] if ":" in ip else []))
    assert node.says("monitor", ip=ip, nic="eth0") == (1, f"{ip} is on br9 and not on nic=eth0")
    node.ip("addr", "add", f"{ip}/{prefix}", "dev", "eth0", *(["nodad"] if ":" in ip else []))
    code, said = node.says("monitor", ip=ip)
    assert (code, "is configured 2 times" in said) == (1, True)
    assert node.codes("stop monitor", ip=ip) == [0, 7]


@both
def test_an_address_that_somebody_moved_to_another_link_is_no_healthy_one(node, ip):
    assert node.codes("start", ip=ip) == [0]
    node.ip("link", "add", "br9", "type", "bridge")
    node.ip("link", "set", "br9", "up")
    prefix = 64 if ":" in ip else 24
    node.ip("addr", "del", f"{ip}/{prefix}", "dev", "eth0")
    node.ip("addr", "add", f"{ip}/{prefix}", "dev", "br9")
    assert node.says("monitor", ip=ip) == (1, f"{ip} is on br9, and was started on eth0")


def test_a_wrong_prefix_is_named(node):
    node.ip("addr", "add", f"{V4}/16", "dev", "eth0")
    assert node.says("monitor", ip=V4, cidr_netmask="24") == (
        1, f"{V4} on eth0 has the prefix length 16 and not cidr_netmask=24",
    )  # fmt: skip


@both
def test_a_link_may_be_named_by_an_alternative_name_and_get_another_name(node, ip):
    node.ip("link", "property", "add", "dev", "eth0", "altname", "the-uplink-of-this-very-node")
    assert node.codes("start monitor", ip=ip, nic="the-uplink-of-this-very-node") == [0, 0]
    node.ip("link", "property", "del", "dev", "eth0", "altname", "the-uplink-of-this-very-node")
    node.run("sh", "-c", "ip link set eth0 name eth7 || { ip link set eth0 down && ip link set eth0 name eth7; }")
    if node.has(ip):
        code, said = node.says("monitor", ip=ip, nic="the-uplink-of-this-very-node")
        assert (code, "is called eth7 now" in said) == (190, True)
    assert node.codes("stop monitor", ip=ip, nic="the-uplink-of-this-very-node") == [0, 7]


def test_the_first_address_of_a_network_leaves_the_others_where_they_are(node):
    node.ip("addr", "flush", "dev", "eth0")
    node.run(
        "sysctl", "-q", "-w", "net.ipv4.conf.all.promote_secondaries=0", "net.ipv4.conf.eth0.promote_secondaries=0"
    )
    assert node.codes("start", ip=V4, nic="eth0", cidr_netmask="24") == [0]
    node.ip("addr", "add", "10.77.0.101/24", "dev", "eth0")
    node.ip("addr", "add", "10.77.0.102/24", "dev", "eth0", "label", "eth0:x")
    assert node.codes("stop", ip=V4) == [0]
    assert (node.has(V4), node.has("10.77.0.101"), node.has("10.77.0.102")) == (False, True, True)


def test_two_hundred_addresses_on_one_node(node):
    others = [f"10.77.{third}.{last}" for third in (1, 2) for last in range(1, 101)]
    node.run("ip", "-batch", "-", given="".join(f"addr add {ip}/16 dev eth0\n" for ip in others))
    assert node.codes("monitor start monitor stop monitor", ip="10.77.1.1") == [0, 0, 0, 0, 7]
    assert node.codes("start monitor stop monitor", ip=V4) == [0, 0, 0, 7]
    assert node.ip("-o", "-4", "addr", "show", "dev", "eth0").count("10.77.") - len(others) == 0


@both
def test_an_address_changed_while_it_ran_leaves_the_earlier_one_nowhere(node, ip):
    other = "10.77.0.99"
    assert node.codes("start", ip=other) == [0]
    assert node.says("monitor", ip=ip)[0] == 1
    assert node.codes("stop", ip=ip) == [0]
    assert not node.has(other)


# ------------------------------------------------------------------- its shape


def test_an_address_has_the_shape_that_was_wished_for(node):
    params = {"iflabel": "web", "noprefixroute": "yes", "broadcast": "-", "preferred_lft": "0", "metric": "77"}
    assert node.codes("start monitor", ip=V4, cidr_netmask="26", nic="eth0", **params) == [0, 0]
    shown = node.ip("-o", "addr", "show", "to", V4)
    assert f"inet {V4}/26 metric 77 scope global deprecated noprefixroute eth0:web" in shown
    assert "brd" not in shown
    assert "10.77.0.64/26" not in node.ip("route")


def test_a_stopped_address_stays_on_lo_for_lvs(node):
    assert node.codes("start monitor stop monitor", ip=V4, lvs_support="true") == [0, 0, 0, 7]
    assert f"lo    inet {V4}/32" in node.ip("-o", "addr", "show", "to", V4)
    assert node.codes("start monitor", ip=V4, lvs_support="true") == [0, 0]
    assert f"lo    inet {V4}" not in node.ip("-o", "addr", "show", "to", V4)


def test_an_ipv6_address_can_have_a_label_of_its_own(node):
    assert node.codes("start start", ip=V6, lvs_ipv6_addrlabel="true") == [0, 0]
    assert f"prefix {V6}/128 label 99" in node.ip("addrlabel", "list")
    assert node.codes("stop", ip=V6, lvs_ipv6_addrlabel="true") == [0]
    assert V6 not in node.ip("addrlabel", "list")


@both
def test_an_address_in_a_network_namespace_is_found_when_the_namespace_has_lost_its_name(node, ip):
    params = {"ip": ip, "network_namespace": "blue", "nic": "eth1", "cidr_netmask": "64" if ":" in ip else "24"}
    assert node.codes("monitor stop", **params) == [7, 0]
    assert node.says("start", **params) == (1, "there is no network namespace blue on this node")
    node.ip("netns", "add", "blue")
    node.ip("link", "add", "far1", "type", "veth", "peer", "name", "eth1", "netns", "blue")
    node.ip("link", "set", "far1", "up")
    node.ip("-n", "blue", "link", "set", "eth1", "up")
    assert node.codes("start monitor start", **params) == [0, 0, 0]
    assert not node.has(ip)
    assert f" {ip}/" in node.ip("-n", "blue", "-o", "addr")
    holder = node.start("nsenter", "--net=/run/netns/blue", "sh", "-c", "echo $$; exec sleep 300")
    try:
        pid = holder.stdout.readline().strip()
        node.ip("netns", "del", "blue")
        assert node.codes("monitor", **params) == [0]
        code, said = node.says("monitor", ip=ip)
        assert (code, "it was started in network_namespace=blue" in said) == (1, True)
        assert node.codes("stop", ip=ip) == [0]
        assert f" {ip}/" not in node.run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-o", "addr")
    finally:
        holder.kill()
        holder.communicate()


# ------------------------------------------------------------------------- links


@both
def test_a_link_that_is_deleted_takes_its_address_with_it(node, ip):
    assert node.codes("start monitor", ip=ip, nic="eth0") == [0, 0]
    node.ip("link", "del", "eth0")
    assert node.codes("monitor stop monitor", ip=ip, nic="eth0") == [7, 0, 7]
    assert node.says("start", ip=ip, nic="eth0") == (1, "there is no link nic=eth0 on this node")


@both
@pytest.mark.parametrize(("policy", "code"), [("failed", 1), ("degraded", 190)])
def test_a_cut_cable_is_seen_and_named_and_stop_needs_no_cable(node, ip, policy, code):
    assert node.codes("start", ip=ip) == [0]
    cut(node)
    lost(node)
    assert node.says("monitor", ip=ip, on_link_down=policy) == (code, f"{ip}: eth0 has no carrier")
    assert node.codes("monitor", ip=ip, check_link_status="false") == [0]
    assert node.codes("stop", ip=ip) == [0]
    assert node.says("start", ip=ip, on_link_down=policy) == (
        (1, f"{ip} would be cut off: eth0 has no carrier") if policy == "failed" else (0, "")
    )


def test_another_link_that_is_down_does_not_matter(node):
    node.ip("link", "add", "br9", "type", "bridge")
    assert node.codes("start monitor", ip=V4) == [0, 0]


def test_a_cable_that_flaps_within_its_grace_moves_nothing(node):
    params = {"ip": V4, "link_grace": "30"}
    assert node.codes("start", **params) == [0]
    cut(node)
    lost(node)
    assert node.says("monitor", **params) == (190, f"{V4}: eth0 has no carrier, for 0 s; link_grace is 30 s")
    heal(node)
    found(node)
    assert node.codes("monitor", **params) == [0]
    assert "trouble" not in node.run("cat", "/run/kvmha/FloatingIP/vip")


def test_a_monitor_that_would_be_the_last_before_the_grace_ends_waits_for_its_end(node):
    assert node.codes("start", ip=V4) == [0]
    cut(node)
    lost(node)
    code, said = node.says("monitor", ip=V4, link_grace="1")
    assert (code, said) == (1, f"{V4}: eth0 has no carrier, for 1 s")


@both
def test_a_link_that_was_set_down_is_seen_and_a_start_sets_it_up(node, ip):
    assert node.codes("start", ip=ip) == [0]
    node.ip("link", "set", "eth0", "down")
    # The kernel takes IPv6 addresses away from such a link, and leaves those of IPv4.
    assert node.codes("monitor", ip=ip) == [7 if ":" in ip else 1]
    assert node.codes("stop", ip=ip) == [0]
    prefix = "64" if ":" in ip else "24"
    assert node.codes("start monitor", ip=ip, nic="eth0", cidr_netmask=prefix) == [0, 0]


def test_a_bridge_is_cut_off_with_its_uplink_whatever_its_guests_do(node):
    """The guest's port has a carrier, and so has the bridge, as on every node that runs guests."""
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun for a guest's port")
    node.ip("addr", "flush", "dev", "eth0")
    node.ip("link", "add", "br0", "type", "bridge")
    node.ip("link", "set", "eth0", "master", "br0")
    node.ip("link", "set", "br0", "up")
    guest = node.start(PYTHON, "-c", GUEST)
    try:
        assert guest.stdout.readline() == "open\n"
        node.ip("link", "set", "vnet0", "master", "br0", "up")
        params = {"ip": V4, "nic": "br0", "cidr_netmask": "24"}
        wait(lambda: "LOWER_UP" in node.ip("link", "show", "br0"))
        assert node.codes("start monitor", **params) == [0, 0]
        cut(node)
        lost(node)
        assert "LOWER_UP" in node.ip("link", "show", "br0")
        assert node.says("monitor", **params) == (1, f"{V4}: nothing leads out of br0: eth0 has no carrier")
    finally:
        guest.kill()
        guest.communicate()


GUEST = """
import fcntl, struct, time
tun = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"vnet0", 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
print("open", flush=True)
time.sleep(300)
"""


@pytest.mark.skipif(not kernel_has("macvlan"), reason="needs a kernel with macvlan")
def test_a_link_on_a_cut_link_is_cut(node):
    node.ip("link", "add", "link", "eth0", "name", "mac0", "type", "macvlan", "mode", "bridge")
    node.ip("link", "set", "mac0", "up")
    params = {"ip": "10.78.0.1", "nic": "mac0", "cidr_netmask": "24"}
    assert node.codes("start monitor", **params) == [0, 0]
    cut(node)
    lost(node)
    assert node.codes("monitor stop", **params) == [1, 0]


@pytest.mark.skipif(not kernel_has("bond") or not kernel_has("vlan"), reason="needs a kernel with bond and VLAN links")
def test_a_vlan_on_a_bond_works_with_one_leg_and_says_so(node):
    node.ip("link", "add", "far1", "type", "veth", "peer", "name", "eth1")
    node.ip("link", "set", "far1", "up")
    node.ip("addr", "flush", "dev", "eth0")
    node.ip("link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "50")
    for leg in ("eth0", "eth1"):
        node.ip("link", "set", leg, "down")
        node.ip("link", "set", leg, "master", "bond0")
    node.ip("link", "set", "bond0", "up")
    node.ip("link", "add", "link", "bond0", "name", "bond0.5", "type", "vlan", "id", "5")
    node.ip("link", "set", "bond0.5", "up")
    wait(lambda: "LOWER_UP" in node.ip("link", "show", "bond0.5"))
    params = {"ip": V4, "nic": "bond0.5", "cidr_netmask": "24"}
    assert node.codes("start monitor", **params) == [0, 0]
    node.ip("link", "set", "far1", "down")
    wait(lambda: "NO-CARRIER" in node.ip("link", "show", "eth1"))
    assert node.says("monitor", **params) == (190, f"{V4} works, but eth1 has no carrier in bond0")
    assert node.codes("monitor", on_member_down="running", **params) == [0]
    cut(node)
    wait(lambda: "NO-CARRIER" in node.ip("link", "show", "bond0"))
    assert node.codes("monitor stop", **params) == [1, 0]


# -------------------------------------------------------------------- neighbours


@both
def test_an_address_that_a_peer_has_is_refused_and_its_ethernet_address_is_named(lan, ip):
    _, node, peer = lan
    peer.ip("addr", "add", f"{ip}/{64 if ':' in ip else 24}", "dev", "eth0", *(["nodad"] if ":" in ip else []))
    assert node.says("start", ip=ip) == (1, f"{ip} on eth0 is in use by another machine, {peer.mac()}")
    assert not node.has(ip)
    assert node.codes("monitor stop", ip=ip) == [7, 0]
    assert node.codes("start", ip=ip, duplicate_wait="0") == [0], "nobody was asked"


def test_an_address_that_the_kernel_found_at_a_peer_is_no_healthy_one(lan):
    _, node, peer = lan
    peer.ip("addr", "add", f"{V6}/64", "dev", "eth0", "nodad")
    node.ip("addr", "add", f"{V6}/64", "dev", "eth0")
    code, said = node.says("monitor", ip=V6)
    assert (code, "is in use by another machine" in said) == (1, True)
    assert node.codes("stop monitor", ip=V6) == [0, 7]


@both
def test_two_nodes_that_both_hold_it_after_a_split_learn_of_each_other_and_the_later_start_is_refused(lan, ip):
    switch, one, two = lan
    assert one.codes("start", ip=ip) == [0]
    switch.cut(1)
    lost(one)
    assert two.codes("start", ip=ip) == [0]
    switch.heal(1)
    found(one)
    said = f"{ip} is also at {two.mac()}: another machine has it"
    assert one.codes("monitor", ip=ip) == [0]
    assert one.says("monitor", ip=ip, depth=10) == (190, said)
    assert one.says("monitor", ip=ip, depth=10, on_conflict="failed") == (1, said)
    assert two.says("monitor", ip=ip, depth=10)[1] == said.replace(two.mac(), one.mac())
    assert one.codes("stop", ip=ip) == [0]
    assert one.says("start", ip=ip) == (1, f"{ip} on eth0 is in use by another machine, {two.mac()}")
    assert two.codes("monitor", ip=ip, depth=10) == [0]


@both
def test_a_neighbour_with_a_warm_cache_finds_the_address_at_its_new_node(lan, ip):
    switch, one, two = lan
    client = Machine()
    try:
        switch.plug(client, 3)
        found(client)
        assert one.codes("start", ip=ip) == [0]
        client.run(PYTHON, "-c", TALK, ip)
        wait(lambda: entry(client, ip))
        assert entry(client, ip) == one.mac()
        assert one.codes("stop", ip=ip) == [0]
        assert two.codes("start", ip=ip) == [0]
        wait(lambda: entry(client, ip) == two.mac(), limit=5)
        # What the first announcements did not reach, the next monitors do.
        stale = ["neigh", "replace", ip, "lladdr", one.mac(), "nud", "stale", "dev", "eth0"]
        client.ip(*stale)
        assert two.codes("monitor", ip=ip) == [0]
        wait(lambda: entry(client, ip) == two.mac(), limit=5)
        client.ip(*stale)
        assert two.codes("monitor", ip=ip, announce_time="0") == [0]
        assert two.agent("monitor", ip=ip, interval=0).returncode == 0
        assert entry(client, ip) == one.mac(), "a probe, and a monitor that was told not to, announce nothing"
        assert two.codes("monitor", ip=ip, announce_time="0", arp_count_refresh="1") == [0]
        wait(lambda: entry(client, ip) == two.mac(), limit=5)
    finally:
        client.close()


TALK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (sys.argv[1], 9))
"""


def entry(machine, ip):
    shown = json.loads(machine.ip("-j", "neigh", "show", "to", ip))
    return shown[0].get("lladdr") if shown else None


@both
def test_a_silent_gateway_is_named(lan, ip):
    node = lan[1]
    gateway, nobody = ("2001:db8::2", "2001:db8::9") if ":" in ip else ("10.77.0.2", "10.77.0.9")
    assert node.codes("start monitor", ip=ip, check_gateway=gateway) == [0, 0]
    said = f"{ip}: check_gateway={nobody} does not answer on eth0"
    assert node.says("monitor", ip=ip, check_gateway=nobody) == (190, said)
    assert node.says("monitor", ip=ip, check_gateway=nobody, on_gateway_down="failed") == (1, said)


# ----------------------------------------------------------------------- clients


def test_an_address_waits_for_its_service(node):
    params = {"ip": V4, "start_probe": "http://127.0.0.1:8080/health"}
    assert node.says("start", timeout=6000, **params) == (
        1, "start_probe=http://127.0.0.1:8080/health does not answer: 127.0.0.1:8080: Connection refused",
    )  # fmt: skip
    assert not node.has(V4)
    service = node.start(PYTHON, "-c", SERVICE)
    try:
        assert service.stdout.readline() == "listening\n"
        assert node.codes("start", **params) == [0]
        assert node.codes("stop start", ip=V4, start_probe="tcp://127.0.0.1:8080") == [0, 0]
    finally:
        service.kill()
        service.communicate()


SERVICE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        self.send_response(503 if Handler.asked < 3 else 200)
        self.end_headers()
    def log_message(self, *rest):
        pass
server = http.server.HTTPServer(("127.0.0.1", 8080), Handler)
print("listening", flush=True)
server.serve_forever()
"""


@both
def test_what_is_tidied_up_after_a_stop_never_fails_it(node, ip):
    params = {"drop_connections": "true", "flush_routes": "true"}
    assert node.codes("start stop stop monitor", ip=ip, **params) == [0, 0, 0, 7]


@pytest.mark.skipif(not shutil.which("conntrack"), reason="needs conntrack(8)")
@pytest.mark.skipif(not kernel_tracks(), reason="needs nft(8) and a kernel that tracks connections")
@both
def test_the_tracked_connections_to_the_address_are_forgotten_and_no_others(lan, ip):
    _, node, peer = lan
    own = "2001:db8::1" if ":" in ip else "10.77.0.1"
    node.run("nft", "-f", "-", given=TRACK)
    assert node.codes("start", ip=ip) == [0]
    for address in (ip, own):
        peer.run(PYTHON, "-c", TALK, address)
    wait(lambda: tracked(node, ip) and tracked(node, own))
    assert node.codes("stop", ip=ip) == [0]
    assert tracked(node, ip), "they are kept where nothing else is wished for"
    assert node.codes("start", ip=ip) == [0]
    done = node.agent("stop", ip=ip, drop_connections="true")
    assert (done.returncode, "could not forget" in done.stderr) == (0, False)
    assert (tracked(node, ip), len(tracked(node, own))) == ([], 1)


# A kernel tracks nothing before a rule asks for it.
TRACK = """
table inet seen {
    chain in { type filter hook input priority 0; ct state new accept; }
}
"""


def tracked(machine, address):
    """Return the connections to an address that a machine remembers."""
    family = "ipv6" if ":" in address else "ipv4"
    return machine.run("conntrack", "-L", "-f", family, "-d", address).splitlines()
