"""FloatingIP against a scripted ip(8) whose kernel loses links, routes and patience."""

from __future__ import annotations

import pytest

from kvmha.host import CommandMissing, CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.resources.floating_ip import FloatingIP

VIP = "10.77.0.100"
VIP6 = "2001:db8::100"
TAIL = "\\       valid_lft forever preferred_lft forever\n"
BASE = f"4: br0    inet 10.77.0.11/24 brd 10.77.0.255 scope global br0{TAIL}"
BASE6 = f"4: br0    inet6 2001:db8::11/64 scope global {TAIL}"


class Kernel:
    """The addresses of a node, behind the commands that show and change them."""

    def __init__(self, host):
        self.host = host
        self.places: dict[str, list[str]] = {}
        self.flags = ""
        self.delete_works = True
        self.others = f"1: lo    inet 127.0.0.1/8 scope host lo{TAIL}{BASE}{BASE6}"
        host.commands[("ip", "-o", "addr", "show")] = lambda: self.others
        for address in (VIP, VIP6):
            host.commands[("ip", "-o", "addr", "show", "to", address)] = lambda address=address: self.show(address)
            for link in ("br0", "br1"):
                host.commands[("ip", "link", "set", link, "up")] = ""
                for prefix in ("16", "24", "32", "64", "128"):
                    place = (f"{address}/{prefix}", "dev", link)
                    broadcast = () if ":" in address else ("brd", "+")
                    host.commands[("ip", "addr", "add", place[0], *broadcast, *place[1:])] = lambda p=place: self.add(p)
                    host.commands[("ip", "addr", "del", *place)] = lambda p=place: self.delete(p)

    def put(self, address, link="br0", prefix=24):
        self.places.setdefault(address, []).append(f"{link} {prefix}")

    def show(self, address):
        family = "inet6" if ":" in address else "inet"
        lines = []
        for place in self.places.get(address, []):
            link, prefix = place.split()
            lines.append(f"4: {link}    {family} {address}/{prefix} scope global {self.flags} {link}{TAIL}")
        return "".join(lines)

    def add(self, place):
        address, prefix = place[0].split("/")
        self.put(address, place[2], prefix)
        return ""

    def delete(self, place):
        address, prefix = place[0].split("/")
        known = self.places.get(address, [])
        if f"{place[2]} {prefix}" not in known:
            return (2, "", "RTNETLINK answers: Cannot assign requested address\n")
        if self.delete_works:
            known.remove(f"{place[2]} {prefix}")
        return ""


@pytest.fixture
def kernel(host, monkeypatch):
    host.announced = []
    monkeypatch.setattr(
        "kvmha.tools.neighbour.announce",
        lambda host, link, address, *, count, interval: (
            host.announced.append((link, address, count)),
            host.sleep(max(count - 1, 0) * interval),
        ),
    )
    return Kernel(host)


def call(host, action, timeout=20.0, interval=10.0, **params):
    begun = host.clock
    env = OcfEnv(
        action=action,
        params={"ip": VIP, **params},
        timeout=timeout,
        interval=interval if action == "monitor" else 0.0,
        instance="vip",
    )
    code = perform(FloatingIP, env, host)
    assert host.clock - begun <= timeout, f"{action} took {host.clock - begun} s of {timeout} s"
    return code


def reason(capfd):
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ocf-exit-reason:")]
    return lines[-1].partition(":")[2] if lines else ""


def changes(host):
    return [argv for argv in host.ran if argv[:3] != ("ip", "-o", "addr")]


# ---------------------------------------------------------------------- monitor


@pytest.mark.parametrize("interval", [0.0, 10.0], ids=["probe", "recurring"])
def test_a_well_address_is_seen_by_one_command_and_in_silence(host, kernel, interval, capfd):
    kernel.put(VIP)
    assert call(host, "monitor", interval=interval) == codes.SUCCESS
    assert host.ran == [("ip", "-o", "addr", "show", "to", VIP)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("interval", [0.0, 10.0], ids=["probe", "recurring"])
@pytest.mark.parametrize("params", [{}, {"arp_count": "many"}, {"nic": "no-such-link", "cidr_netmask": "24"}])
def test_no_address_is_not_running(host, kernel, interval, params):
    assert call(host, "monitor", interval=interval, **params) == codes.NOT_RUNNING


@pytest.mark.parametrize(
    ("link", "prefix", "said"),
    [
        ("br1", 24, "10.77.0.100 is on br1 and not on nic=br0"),
        ("br0", 16, "10.77.0.100 on br0 has the prefix length 16 and not cidr_netmask=24"),
    ],
    ids=["wrong-link", "wrong-prefix"],
)
def test_an_address_in_the_wrong_place_is_a_failure_and_not_absence(host, kernel, link, prefix, said, capfd):
    kernel.put(VIP, link, prefix)
    assert call(host, "monitor", interval=0.0, nic="br0", cidr_netmask="24") == codes.ERR_GENERIC
    assert reason(capfd) == said


def test_an_address_on_two_links_is_a_failure_where_the_link_is_named(host, kernel, capfd):
    kernel.put(VIP)
    kernel.put(VIP, "br1")
    assert call(host, "monitor", nic="br0") == codes.ERR_GENERIC
    assert "br1" in reason(capfd)


def test_an_address_that_another_machine_uses_is_a_failure(host, kernel, capfd):
    kernel.put(VIP6, prefix=64)
    kernel.flags = "dadfailed tentative"
    assert call(host, "monitor", ip=VIP6) == codes.ERR_GENERIC
    assert "in use by another machine" in reason(capfd)


@pytest.mark.parametrize(
    "answer", [CommandMissing, CommandTimeout, (1, "", "Cannot open netlink socket: Too many open files\n")]
)
@pytest.mark.parametrize("action", ["monitor", "stop"])
def test_a_tool_that_does_not_answer_is_no_absence(host, kernel, action, answer, capfd):
    host.commands[("ip", "-o", "addr", "show", "to", VIP)] = answer
    assert call(host, action) == codes.ERR_GENERIC
    assert reason(capfd).startswith(f"{action}: ip ")


# ------------------------------------------------------------------------- stop


def test_stop_removes_the_address_from_every_link_and_needs_to_know_none(host, kernel):
    kernel.put(VIP)
    kernel.put(VIP, "br1", 32)
    assert call(host, "stop", nic="gone0", cidr_netmask="16") == codes.SUCCESS
    assert kernel.places[VIP] == []


def test_stop_of_what_is_not_there_is_a_success_and_changes_nothing(host, kernel):
    assert call(host, "stop") == codes.SUCCESS
    assert changes(host) == []


def test_stop_needs_no_route_and_no_network(host, kernel):
    kernel.put(VIP)
    kernel.others = ""
    assert call(host, "stop") == codes.SUCCESS
    assert kernel.places[VIP] == []


@pytest.mark.parametrize("params", [{"arp_count": "0x"}, {"cidr_netmask": "255.255.255.0"}, {"arp_interval": "-1"}])
def test_a_wrong_parameter_keeps_neither_stop_nor_probe_from_the_truth(host, kernel, params):
    kernel.put(VIP)
    assert call(host, "monitor", interval=0.0, **params) == codes.SUCCESS
    assert call(host, "stop", **params) == codes.SUCCESS
    assert kernel.places[VIP] == []


def test_an_address_that_stays_is_a_failed_stop(host, kernel, capfd):
    kernel.put(VIP)
    kernel.delete_works = False
    assert call(host, "stop") == codes.ERR_GENERIC
    assert reason(capfd) == "10.77.0.100 is still on br0 after its removal"


def test_an_address_that_went_away_meanwhile_is_a_success(host, kernel):
    kernel.put(VIP)
    host.commands[("ip", "addr", "del", f"{VIP}/24", "dev", "br0")] = lambda: (
        kernel.places.clear() or (1, "", "Cannot find device\n")
    )
    assert call(host, "stop") == codes.SUCCESS


def test_a_removal_that_hangs_is_a_failed_stop(host, kernel):
    kernel.put(VIP)
    host.commands[("ip", "addr", "del", f"{VIP}/24", "dev", "br0")] = CommandTimeout
    assert call(host, "stop") == codes.ERR_GENERIC


@pytest.mark.parametrize(
    "text", ["any", "all", "default", "10.77.0.0/24", "10.77.0.100/24", "10.77", "garbage", "10.0.0.300", " "]
)
def test_a_text_that_is_no_address_is_nowhere_and_touches_no_other_address(host, kernel, text):
    # ip(8) takes "to 10.77.0.100/24" and "to any" as well, and shows the node's own addresses.
    host.commands[("ip", "-o", "addr", "show", "to", text)] = f"{BASE}{BASE6}"
    assert call(host, "monitor", interval=0.0, ip=text) == codes.NOT_RUNNING
    assert call(host, "stop", ip=text) == codes.SUCCESS
    assert changes(host) == []


def test_another_spelling_of_an_address_is_the_address(host, kernel):
    kernel.put(VIP6, prefix=64)
    host.commands[("ip", "-o", "addr", "show", "to", "2001:DB8:0:0::100")] = lambda: kernel.show(VIP6)
    assert call(host, "monitor", ip="2001:DB8:0:0::100") == codes.SUCCESS
    assert call(host, "stop", ip="2001:DB8:0:0::100") == codes.SUCCESS
    assert kernel.places[VIP6] == []


@pytest.mark.parametrize("action", ["monitor", "stop"])
def test_without_an_address_nothing_is_known(host, kernel, action, capfd):
    assert call(host, action, ip="") not in (codes.SUCCESS, codes.NOT_RUNNING)
    assert reason(capfd) == "ip is not set"


# ------------------------------------------------------------------------ start


def test_start_puts_the_address_beside_the_network_that_contains_it_and_announces_it(host, kernel):
    assert call(host, "start") == codes.SUCCESS
    assert kernel.places[VIP] == ["br0 24"]
    assert host.announced == [("br0", VIP, 3)]
    assert call(host, "monitor") == codes.SUCCESS


def test_start_needs_no_network_where_link_and_prefix_are_given(host, kernel):
    kernel.others = ""
    assert call(host, "start", nic="br1", cidr_netmask="32") == codes.SUCCESS
    assert kernel.places[VIP] == ["br1 32"]


def test_start_of_ipv6_uses_the_ipv6_network(host, kernel):
    assert call(host, "start", ip=VIP6) == codes.SUCCESS
    assert kernel.places[VIP6] == ["br0 64"]


def test_start_twice_adds_once(host, kernel):
    assert call(host, "start") == codes.SUCCESS
    assert call(host, "start") == codes.SUCCESS
    assert kernel.places[VIP] == ["br0 24"]


def test_start_without_a_matching_network_is_a_passing_failure(host, kernel, capfd):
    # Not 5 or 6: the network may come, and those codes would ban the node or stop the resource everywhere.
    kernel.others = ""
    assert call(host, "start") == codes.ERR_GENERIC
    assert (
        reason(capfd)
        == "no network that contains ip=10.77.0.100 on any link: set nic and cidr_netmask, or configure the network"
    )


def test_a_host_route_is_no_network_that_contains_another_address(host, kernel):
    kernel.others = f"4: br0    inet {VIP}/32 scope global br0{TAIL}"
    assert call(host, "start") == codes.ERR_GENERIC


def test_start_on_a_link_that_is_not_there_is_a_passing_failure(host, kernel, capfd):
    host.commands[("ip", "link", "set", "br9", "up")] = (1, "", 'Cannot find device "br9"\n')
    assert call(host, "start", nic="br9", cidr_netmask="24") == codes.ERR_GENERIC
    assert 'Cannot find device "br9"' in reason(capfd)


def test_start_of_an_address_in_the_wrong_place_fails(host, kernel):
    kernel.put(VIP, "br1")
    assert call(host, "start", nic="br0") == codes.ERR_GENERIC
    assert changes(host) == []


def test_start_removes_an_address_that_another_machine_has(host, kernel, capfd):
    kernel.flags = "tentative"
    host.after(1.0, lambda: setattr(kernel, "flags", "dadfailed tentative"))
    assert call(host, "start", ip=VIP6) == codes.ERR_GENERIC
    assert "in use by another machine" in reason(capfd)
    assert kernel.places[VIP6] == []
    assert host.announced == []


def test_start_waits_until_an_address_may_be_used(host, kernel):
    kernel.flags = "tentative"
    host.after(1.5, lambda: setattr(kernel, "flags", ""))
    begun = host.clock
    assert call(host, "start", ip=VIP6) == codes.SUCCESS
    assert 1.5 <= host.clock - begun < 2.0


def test_start_ends_before_its_deadline_where_the_address_stays_tentative(host, kernel, capfd):
    kernel.flags = "tentative"
    assert call(host, "start", ip=VIP6) == codes.ERR_GENERIC
    assert "still tentative" in reason(capfd)


@pytest.mark.parametrize(("count", "interval"), [("100", "10000"), ("100", "1"), ("0", "50"), ("1", "10000")])
def test_announcements_fit_into_the_start(host, kernel, count, interval):
    assert call(host, "start", arp_count=count, arp_interval=interval) == codes.SUCCESS
    assert host.announced[0][2] <= int(count)
    assert host.announced[0][2] > 0 or count == "0"


def test_an_announcement_that_fails_does_not_fail_the_start(host, kernel, monkeypatch):
    def fails(*_arguments, **_options):
        raise OSError(100, "Network is down")

    monkeypatch.setattr("kvmha.tools.neighbour.announce", fails)
    assert call(host, "start") == codes.SUCCESS


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"ip": "10.77.0.100/24"}, 'ip="10.77.0.100/24" is not an IPv4 or IPv6 address'),
        ({"ip": "10.77.0.256"}, 'ip="10.77.0.256" is not an IPv4 or IPv6 address'),
        ({"ip": "fe80::1%br0"}, 'ip="fe80::1%br0" is not an IPv4 or IPv6 address'),
        ({"ip": "224.0.0.1"}, "not an address that a node can take over"),
        ({"ip": "127.0.0.1"}, "not an address that a node can take over"),
        ({"ip": "::"}, "not an address that a node can take over"),
        ({"cidr_netmask": "33"}, 'cidr_netmask="33" is more than the 32 bits'),
        ({"cidr_netmask": "255.255.255.0"}, 'cidr_netmask="255.255.255.0" is not a whole number from 1 to 128'),
        ({"nic": "a-name-of-16-char"}, "is not a link name of at most 15 characters"),
        ({"nic": "br 0"}, "is not a link name"),
        ({"arp_count": "101"}, 'arp_count="101" is not a whole number from 0 to 100'),
    ],
)
@pytest.mark.parametrize("action", ["start", "validate-all", "reload-agent"])
def test_wrong_parameters_fail_before_anything_is_done(host, kernel, action, params, said, capfd):
    assert call(host, action, **params) == codes.ERR_CONFIGURED
    assert said in reason(capfd)
    assert host.ran == []
