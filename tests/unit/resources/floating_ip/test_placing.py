"""Start: where the address goes, what it waits for, and when it is refused."""

from __future__ import annotations

import pytest

from kvmha.host import CommandTimeout
from kvmha.ocf import codes
from kvmha.policy.network import DAD_FAILED, TENTATIVE, Link
from kvmha.tools import service_probe
from kvmha.tools.neighbour import Heard

VIP, VIP6 = "10.77.0.100", "2001:db8::100"
STRANGER = "02:00:00:00:00:99"
STATE = "/run/kvmha/FloatingIP/vip"


def nothing_is_left(network, address=VIP):
    return network.of(address) == [] and not [change for change in network.changes if " add " in change]


def test_start_puts_the_address_beside_the_network_that_contains_it_and_announces_it(network, call):
    assert call("start") == 0
    assert network.of(VIP) == ["br0/24"]
    assert [said for said in network.said if said[0] == "announce"] == [("announce", "br0", VIP)] * 3
    assert call("monitor") == 0


def test_start_needs_no_network_where_link_and_prefix_are_given(network, call):
    network.here.clear()
    assert call("start", nic="br1", cidr_netmask="32") == 0
    assert network.of(VIP) == ["br1/32"]


def test_start_of_ipv6_uses_the_ipv6_network_and_does_not_wait_for_the_kernels_check(host, network, call):
    network.new_flags = TENTATIVE
    begun = host.clock
    assert call("start", ip=VIP6) == 0
    assert network.of(VIP6) == ["br0/64"]
    assert host.clock - begun < 0.5


def test_the_smallest_network_wins_and_of_equals_the_one_that_leads_out(network, call):
    network.put("10.77.0.12", "br1", 25)
    assert call("start") == 0
    assert network.of(VIP) == ["br1/25"]
    call("stop")
    network.here = [one.replace(prefix=24) if one.prefix == 25 else one for one in network.here]
    network.change("br0", has_carrier=False)
    assert call("start") == 0
    assert network.of(VIP) == ["br1/24"]


def test_start_twice_adds_once(network, call):
    assert [call("start"), call("start")] == [0, 0]
    assert network.of(VIP) == ["br0/24"]


@pytest.mark.parametrize(
    ("given", "where"), [({}, "on any link"), ({"nic": "br1"}, "on nic=br1"), ({"ip": "10.78.0.1"}, "on any link")]
)
def test_start_without_a_matching_network_is_a_passing_failure(network, call, given, where, reason):
    # Not 5 or 6: the network may come, and those codes would ban the node or stop the resource everywhere.
    network.here = [one for one in network.here if one.address != "10.77.0.11"]
    assert call("start", **given) == codes.ERR_GENERIC
    wanted = f"no network that contains ip={given.get('ip', VIP)} {where}"
    assert reason() == f"{wanted}: set nic and cidr_netmask, or configure the network"


def test_a_host_address_is_no_network_that_contains_another(network, call):
    network.here = []
    network.put("10.77.0.101", prefix=32)
    assert call("start") == codes.ERR_GENERIC


def test_start_on_a_link_that_is_not_there_is_a_passing_failure(network, call, reason):
    assert call("start", nic="br9", cidr_netmask="24") == codes.ERR_GENERIC
    assert reason() == "there is no link nic=br9 on this node"


def test_start_of_an_address_in_the_wrong_place_fails_and_changes_nothing(network, call):
    network.put(VIP, "br1")
    assert call("start", nic="br0") == codes.ERR_GENERIC
    assert network.changes == []


def test_start_removes_the_address_that_it_had_before_its_parameter_changed(network, call):
    call("start", ip="10.77.0.99")
    assert call("start") == 0
    assert (network.of("10.77.0.99"), network.of(VIP)) == ([], ["br0/24"])


def test_what_is_written_down_is_written_before_the_address_is_added(host, network, call):
    network.refused = (2, "RTNETLINK answers: Permission denied\n")
    assert call("start") == codes.ERR_GENERIC
    assert f"ip={VIP}\n".encode() in host.files[STATE]
    assert call("stop", ip=None) == 0


def test_every_parameter_of_the_shape_reaches_the_command(network, call):
    shape = {"broadcast": "-", "iflabel": "web", "metric": "7", "noprefixroute": "1", "preferred_lft": "0"}
    assert call("start", **shape) == 0
    assert network.changes == [
        "ip addr add 10.77.0.100/24 label br0:web metric 7 noprefixroute preferred_lft 0 dev br0"
    ]


def test_a_label_that_is_too_long_for_its_link_is_named(network, call, reason):
    network.change("br0", name="enp129s0f0np0")
    assert call("start", iflabel="web") == codes.ERR_CONFIGURED
    assert reason() == 'the label "enp129s0f0np0:web" has more than 15 characters'


# -------------------------------------------------------------------------- links


def test_a_link_that_is_set_down_is_set_up_and_gets_time_for_its_carrier(host, network, call):
    network.change("br0", is_up=False, has_carrier=False)
    host.after(3.0, lambda: network.change("br0", has_carrier=True))
    assert call("start") == 0
    assert network.changes[0] == "ip link set br0 up"


def test_a_link_without_a_carrier_is_refused_at_once_or_after_its_grace(host, network, call, reason):
    network.change("br0", has_carrier=False)
    begun = host.clock
    assert call("start") == codes.ERR_GENERIC
    assert reason() == f"{VIP} would be cut off: br0 has no carrier"
    assert host.clock == begun
    host.after(2.0, lambda: network.change("br0", has_carrier=True))
    assert call("start", link_grace="3") == 0


@pytest.mark.parametrize("given", [{"on_link_down": "degraded"}, {"check_link_status": "false"}])
def test_a_link_without_a_carrier_is_taken_where_the_parameters_say_so(network, call, given):
    network.change("br0", has_carrier=False)
    assert call("start", **given) == 0


def test_a_link_without_neighbours_is_told_nothing_and_leaves_the_check_to_the_kernel(network, call, monkeypatch):
    from kvmha.resources.floating_ip import announcing

    monkeypatch.undo()
    assert announcing.port_of(None, Link(index=9, name="tun0"), VIP) is None


# ---------------------------------------------------------------------- duplicates


@pytest.mark.parametrize("ip", [VIP, VIP6])
def test_an_address_that_somebody_has_is_refused_before_it_is_added(host, network, call, ip, reason):
    network.owners[ip] = STRANGER
    begun = host.clock
    assert call("start", ip=ip) == codes.ERR_GENERIC
    assert reason() == f"{ip} on br0 is in use by another machine, {STRANGER}"
    assert host.clock - begun < 1.0
    assert nothing_is_left(network, ip)
    assert ("announce", "br0", ip) not in network.said


@pytest.mark.parametrize(("ip", "given"), [(VIP, {"duplicate_wait": "0"}), (VIP6, {"nodad": "true"})])
def test_nobody_is_asked_where_that_is_not_wished(network, call, ip, given):
    network.owners[ip] = STRANGER
    assert call("start", ip=ip, **given) == 0
    assert ("probe", "br0", ip) not in network.said


def test_who_answers_while_the_address_is_announced_is_heard_and_the_address_goes_again(host, network, call, reason):
    host.after(0.06, lambda: network.owners.update({VIP: STRANGER}))
    assert call("start") == codes.ERR_GENERIC
    assert reason() == f"{VIP} on br0 is in use by another machine, {STRANGER}"
    assert network.of(VIP) == []


def test_of_two_that_ask_at_one_time_one_goes_on(network, call):
    network.owners[VIP] = Heard(who="02:00:00:00:00:ab", is_probe=True)
    assert call("start") == 0
    call("stop")
    network.owners[VIP] = Heard(who="02:00:00:00:00:a9", is_probe=True)
    assert call("start") == codes.ERR_GENERIC


def test_an_address_that_the_kernel_finds_elsewhere_is_taken_away_again(host, network, call, reason):
    network.deaf = OSError(1, "Operation not permitted")
    network.new_flags = TENTATIVE
    host.after(1.0, lambda: network.flag(VIP6, DAD_FAILED | TENTATIVE))
    assert call("start", ip=VIP6) == codes.ERR_GENERIC
    assert "in use by another machine" in reason()
    assert network.of(VIP6) == []


def test_start_ends_before_its_deadline_where_the_address_stays_tentative(host, network, call, reason):
    network.deaf = OSError(1, "Operation not permitted")
    network.new_flags = TENTATIVE
    begun = host.clock
    assert call("start", ip=VIP6) == codes.ERR_GENERIC
    assert "still tentative" in reason()
    assert host.clock - begun < 20.0
    assert network.of(VIP6) == []


@pytest.mark.parametrize(("count", "interval"), [("100", "10000"), ("100", "1"), ("0", "50"), ("1", "10000")])
def test_announcements_fit_into_the_start(host, network, call, count, interval):
    begun = host.clock
    assert call("start", arp_count=count, arp_interval=interval) == 0
    told = [said for said in network.said if said[0] == "announce"]
    assert host.clock - begun < 19.0
    assert len(told) <= int(count)
    assert told or count == "0"


def test_an_announcement_that_fails_does_not_fail_the_start(network, call):
    network.deaf = OSError(100, "Network is down")
    assert call("start") == 0


# -------------------------------------------------------------------- the service


def test_the_address_waits_until_its_service_answers(host, network, call, monkeypatch):
    answers = ["10.0.0.1:80: Connection refused"] * 5
    monkeypatch.setattr(service_probe, "why_silent", lambda host, service, limit: answers.pop() if answers else None)
    begun = host.clock
    assert call("start", start_probe="tcp://10.0.0.1:80") == 0
    assert host.clock - begun >= 1.0


def test_a_service_that_never_answers_fails_the_start_in_its_time(host, network, call, monkeypatch, reason):
    monkeypatch.setattr(service_probe, "why_silent", lambda host, service, limit: "Connection refused")
    begun = host.clock
    assert call("start", start_probe="tcp://10.0.0.1:80") == codes.ERR_GENERIC
    assert reason() == "start_probe=tcp://10.0.0.1:80 does not answer: Connection refused"
    assert host.clock - begun < 20.0
    assert nothing_is_left(network)


# --------------------------------------------------------------------------- stop


def test_stop_removes_the_address_from_every_link_and_needs_to_know_none(network, call):
    network.put(VIP)
    network.put(VIP, "br1", 32)
    network.put(VIP, "lo", 32)
    assert call("stop", nic="gone0", cidr_netmask="16") == 0
    assert network.of(VIP) == []


def test_stop_of_what_is_not_there_is_a_success_and_changes_nothing(host, network, call):
    assert call("stop", lvs_support="true", drop_connections="true", flush_routes="true") == 0
    assert network.changes == host.ran == []


def test_an_address_that_stays_is_a_failed_stop_that_forgets_nothing(host, network, call, reason):
    call("start")
    network.delete_works = False
    assert call("stop") == codes.ERR_GENERIC
    assert reason() == "10.77.0.100 is still on br0 after its removal"
    assert STATE in host.files


def test_a_removal_that_hangs_is_a_failed_stop(host, network, call, monkeypatch):
    network.put(VIP)

    def hangs(*argv, timeout, **_rest):
        host.sleep(timeout)
        raise CommandTimeout(argv, f"did not end within {timeout:g} s")

    monkeypatch.setattr(host, "run", hangs)
    assert call("stop") == codes.ERR_GENERIC


def test_the_first_address_of_a_network_takes_no_other_with_it(network, call):
    network.here = []
    network.put(VIP)
    network.put("10.77.0.101", flags=0x01)
    assert call("stop") == 0
    assert network.changes[0] == "keep secondaries on br0"
    assert network.of("10.77.0.101") == ["br0/24"]


def test_what_went_with_the_address_all_the_same_is_added_again(network, call, monkeypatch):
    network.here = []
    network.put(VIP)
    network.put("10.77.0.101", flags=0x01, label="br0:x")
    removed = network._change

    def changed(words):
        answer = removed(words)
        if words[1] == "del":
            network.here = [one for one in network.here if one.address != "10.77.0.101"]
        return answer

    monkeypatch.setattr(network, "_change", changed)
    assert call("stop") == 0
    assert network.of("10.77.0.101") == ["br0/24"]
    assert network.here[0].label == "br0:x"


@pytest.mark.parametrize("answer", [(0, "", ""), (1, "", "Operation failed: not permitted\n"), (127, "", "")])
def test_connections_are_forgotten_after_the_address_has_gone_and_never_fail_the_stop(host, network, call, answer):
    host.commands[("conntrack", "-D", "-f", "ipv4", "-d", VIP)] = answer
    network.put(VIP)
    assert call("stop", drop_connections="true") == 0
    assert host.ran == [("conntrack", "-D", "-f", "ipv4", "-d", VIP)]


# --------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"ip": "10.77.0.100/24"}, 'ip="10.77.0.100/24" is not an IPv4 or IPv6 address'),
        ({"ip": "10.77.0.256"}, 'ip="10.77.0.256" is not an IPv4 or IPv6 address'),
        ({"ip": "fe80::1%br0"}, 'ip="fe80::1%br0" is not an IPv4 or IPv6 address'),
        ({"ip": "fe80::1"}, "is link-local, and nic must say on which link"),
        ({"ip": "224.0.0.1"}, "not an address that a node can take over"),
        ({"ip": "127.0.0.1"}, "not an address that a node can take over"),
        ({"ip": "::"}, "not an address that a node can take over"),
        ({"ip": "255.255.255.255"}, "not an address that a node can take over"),
        ({"cidr_netmask": "33"}, 'cidr_netmask="33" is more than the 32 bits'),
        ({"cidr_netmask": "255.255.255.0"}, 'cidr_netmask="255.255.255.0" is not a whole number from 1 to 128'),
        ({"nic": "br 0"}, "is not a link name"),
        ({"nic": "br0:1"}, "is not a link name"),
        ({"nic": "x" * 128}, "is not a link name"),
        ({"iflabel": "a-label-of-14c"}, "is no label, which has at most 15 characters"),
        ({"network_namespace": "../x"}, "is not a name as ip netns list shows it"),
        ({"ip": VIP6, "iflabel": "x"}, "iflabel is set, which does nothing for an IPv6 address"),
        ({"ip": VIP6, "lvs_support": "true"}, "lvs_support is set, which does nothing for an IPv6 address"),
        ({"lvs_ipv6_addrlabel": "true"}, "lvs_ipv6_addrlabel is set, which does nothing for an IPv4 address"),
        ({"broadcast": "all"}, 'broadcast="all" is neither + nor - nor an IPv4 address'),
        ({"preferred_lft": "-5"}, 'preferred_lft="-5" is neither a number of seconds nor forever'),
        ({"check_gateway": "2001:db8::1"}, 'check_gateway="2001:db8::1" is not an IPv4 address'),
        ({"check_gateway": VIP}, f'check_gateway="{VIP}" is the address itself'),
        ({"start_probe": "ftp://x:21"}, 'start_probe="ftp://x:21" is not tcp://HOST:PORT or http://HOST:PORT/PATH'),
        ({"start_probe": f"tcp://{VIP}:80"}, "asks at the very address that would wait for the answer"),
        ({"arp_count": "101"}, 'arp_count="101" is not a whole number from 0 to 100'),
        ({"on_link_down": "running"}, 'on_link_down="running" is not one of failed, degraded'),
        ({"clusterip_hash": "sourceip"}, "clusterip_hash is not a parameter of this agent"),
        ({"unique_clone_address": "true"}, "unique_clone_address is not a parameter of this agent"),
    ],
)
@pytest.mark.parametrize("action", ["start", "validate-all", "reload-agent"])
def test_wrong_parameters_fail_before_anything_is_done(network, call, action, params, said, reason):
    assert call(action, **params) == codes.ERR_CONFIGURED
    assert said in reason()
    assert network.changes == network.said == []


def test_what_is_right_is_valid(network, call):
    given = {"nic": "br0", "broadcast": "10.77.0.255", "preferred_lft": "0", "check_gateway": "10.77.0.1"}
    assert call("validate-all", start_probe="http://[::1]:8080/up?x=1", iflabel="web", **given) == 0
    assert call("validate-all", ip=VIP6, unique_clone_address="false", mac="", lvs_ipv6_addrlabel="true") == 0
