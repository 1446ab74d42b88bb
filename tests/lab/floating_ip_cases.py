"""Run in a lab's node: what an agent does with each case, as one JSON object.

The source of tests/contract/namespaces.py goes before this one on standard input. The arguments are the agent's path
and the names of the cases that are wanted, or none for all of them.
"""

# ruff: noqa: F821 (Machine, Switch and their imports are in the file that goes before)
from __future__ import annotations

import json
import sys
import time

V4, V6 = "10.77.0.100", "2001:db8::100"


def lan():
    switch, one, two = Switch(), Machine(), Machine()
    switch.plug(one, 1)
    switch.plug(two, 2)
    for machine in (one, two):
        carrier(machine, "LOWER_UP")
    return switch, one, two


def carrier(machine, word, link="eth0"):
    until = time.monotonic() + 20
    while word not in machine.ip("link", "show", link) and time.monotonic() < until:
        time.sleep(0.05)


def own(machine, ip):
    machine.ip("addr", "add", f"{ip}/{64 if ':' in ip else 24}", "dev", "eth0", *(["nodad"] if ":" in ip else []))


def stays_after_stop(machine, ip, **params):
    """Return what stop answers, and whether the address is there after it."""
    return [machine.agent("stop", ip=ip, **params).returncode, machine.has(ip)]


def route_gone(switch, one, two):
    one.run("sysctl", "-q", "-w", "net.ipv4.conf.eth0.promote_secondaries=1")
    one.agent("start", ip=V4, noprefixroute="true")
    one.ip("addr", "del", "10.77.0.1/24", "dev", "eth0")
    return stays_after_stop(one, V4)


def bad_tuning(switch, one, two):
    one.agent("start", ip=V4)
    return stays_after_stop(one, V4, arp_count="-1")


def no_parameters(switch, one, two):
    one.agent("start", ip=V4)
    return [one.agent("stop").returncode, one.has(V4)]


def link_gone(switch, one, two):
    one.agent("start", ip=V4, nic="eth0")
    one.ip("link", "del", "eth0")
    return one.codes("monitor stop", ip=V4, nic="eth0")


def duplicate(ip):
    def case(switch, one, two):
        own(two, ip)
        return [*one.codes("start monitor", ip=ip), one.has(ip)]

    return case


def dadfailed(switch, one, two):
    own(two, V6)
    one.ip("addr", "add", f"{V6}/64", "dev", "eth0")
    time.sleep(2.5)
    return one.codes("monitor", ip=V6)


def split(switch, one, two):
    one.agent("start", ip=V4)
    switch.cut(1)
    carrier(one, "NO-CARRIER")
    two.agent("start", ip=V4)
    switch.heal(1)
    carrier(one, "LOWER_UP")
    seen = one.agent("monitor", ip=V4, depth=10).returncode
    one.agent("stop", ip=V4)
    return [seen, one.agent("start", ip=V4).returncode]


def start_without_carrier(switch, one, two):
    switch.cut(1)
    carrier(one, "NO-CARRIER")
    return one.codes("start", ip=V4)


def carrier_lost(switch, one, two, **params):
    one.agent("start", ip=V4)
    switch.cut(1)
    carrier(one, "NO-CARRIER")
    seen = one.codes("monitor", ip=V4, **params)
    switch.heal(1)
    carrier(one, "LOWER_UP")
    return seen + one.codes("monitor", ip=V4, **params)


def flapping(switch, one, two):
    return carrier_lost(switch, one, two, link_grace="30")


def no_network(switch, one, two):
    one.ip("addr", "flush", "dev", "eth0")
    return one.codes("start", ip=V4)


def two_links(switch, one, two):
    one.agent("start", ip=V4, nic="eth0", cidr_netmask="24")
    one.ip("link", "add", "br9", "type", "bridge")
    one.ip("link", "set", "br9", "up")
    one.ip("addr", "add", f"{V4}/32", "dev", "br9")
    return [one.agent("monitor", ip=V4, nic="eth0", cidr_netmask="24").returncode, *stays_after_stop(one, V4)]


def primary(switch, one, two):
    """Return whether another address of the same network outlives the stop."""
    one.ip("addr", "flush", "dev", "eth0")
    one.run("sysctl", "-q", "-w", "net.ipv4.conf.all.promote_secondaries=0", "net.ipv4.conf.eth0.promote_secondaries=0")
    one.ip("route", "add", "10.77.0.0/24", "dev", "eth0")
    one.agent("start", ip=V4, nic="eth0", cidr_netmask="24")
    one.ip("addr", "add", "10.77.0.101/24", "dev", "eth0")
    one.agent("stop", ip=V4, nic="eth0", cidr_netmask="24")
    return [one.has("10.77.0.101")]


def many(switch, one, two):
    others = [f"10.77.0.{last}" for last in range(101, 250)] + [f"10.78.0.{last}" for last in range(1, 51)]
    one.run("ip", "-batch", "-", given="".join(f"addr add {ip}/24 dev eth0\n" for ip in others))
    codes = one.codes("start monitor stop", ip=V4)
    shown = one.ip("-o", "addr", "show")
    return [*codes, all(f" {ip}/" in shown for ip in others), one.has(V4)]


def other_link_down(switch, one, two):
    one.ip("link", "add", "br9", "type", "bridge")
    one.ip("addr", "add", "10.99.0.1/24", "dev", "br9")
    return one.codes("start monitor", ip=V4)


def vlan_on_a_bond(switch, one, two):
    """Both legs; one leg; none, and a stop all the same. It takes a kernel that has bonds and VLANs."""
    params = {"ip": V4, "nic": "bond0.5", "cidr_netmask": "24"}
    one.ip("link", "add", "far1", "type", "veth", "peer", "name", "eth1")
    one.ip("link", "set", "far1", "up")
    one.ip("addr", "flush", "dev", "eth0")
    one.ip("link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "50")
    for leg in ("eth0", "eth1"):
        one.ip("link", "set", leg, "down")
        one.ip("link", "set", leg, "master", "bond0")
    one.ip("link", "set", "bond0", "up")
    one.ip("link", "add", "link", "bond0", "name", "bond0.5", "type", "vlan", "id", "5")
    one.ip("link", "set", "bond0.5", "up")
    carrier(one, "LOWER_UP", "bond0.5")
    codes = one.codes("start monitor", **params)
    one.ip("link", "set", "far1", "down")
    carrier(one, "NO-CARRIER", "eth1")
    codes += one.codes("monitor", **params)
    switch.cut(1)
    carrier(one, "NO-CARRIER", "bond0")
    return codes + one.codes("monitor stop", **params)


def macvlan(switch, one, two):
    """With a cable, without one, and stopped there."""
    params = {"ip": "10.78.0.1", "nic": "mac0", "cidr_netmask": "24"}
    one.ip("link", "add", "link", "eth0", "name", "mac0", "type", "macvlan", "mode", "bridge")
    one.ip("link", "set", "mac0", "up")
    codes = one.codes("start monitor", **params)
    switch.cut(1)
    carrier(one, "NO-CARRIER")
    return codes + one.codes("monitor stop", **params)


CASES = {
    "route gone": route_gone,
    "bad tuning": bad_tuning,
    "no parameters": no_parameters,
    "link gone": link_gone,
    "duplicate v4": duplicate(V4),
    "duplicate v6": duplicate(V6),
    "dadfailed": dadfailed,
    "split": split,
    "start without carrier": start_without_carrier,
    "carrier lost": carrier_lost,
    "no network": no_network,
    "two links": two_links,
    "primary": primary,
    "many": many,
    "flapping": flapping,
    "other link down": other_link_down,
}

# For kernels that have what they are about: only run when they are named.
OF_A_KERNEL = {"vlan on a bond": vlan_on_a_bond, "macvlan": macvlan}


def main(program, *only):
    """Run all cases, or those that are named, with an agent."""
    Machine.program = (program,)
    found = {}
    for name, case in {**CASES, **OF_A_KERNEL}.items():
        if name not in (only or CASES):
            continue
        machines = lan()
        try:
            found[name] = case(*machines)
        finally:
            for machine in machines:
                machine.close()
    print(json.dumps(found))


main(*sys.argv[1:])
