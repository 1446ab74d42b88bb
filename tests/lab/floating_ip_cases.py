"""Run in a lab's node: what an agent does with each case, as one JSON object.

The source of tests/contract/namespaces.py goes before this one on standard input. The arguments are the agent's path
and the first words of the cases that are wanted, or none for all of them.
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


def carrier(machine, word):
    until = time.monotonic() + 20
    while word not in machine.ip("link", "show", "eth0") and time.monotonic() < until:
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


def carrier_lost(switch, one, two):
    one.agent("start", ip=V4)
    switch.cut(1)
    carrier(one, "NO-CARRIER")
    return one.codes("monitor", ip=V4)


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


def seconds_of_start(ip):
    def case(switch, one, two):
        begun = time.monotonic()
        code = one.agent("start", ip=ip).returncode
        return [code, round(time.monotonic() - begun, 2)]

    return case


def seconds_of_silence(ip):
    """Return for how long a client that asks every few milliseconds gets no answer while the address moves."""

    def case(switch, one, two):
        client = Machine()
        helpers = []
        try:
            switch.plug(client, 3)
            carrier(client, "LOWER_UP")
            one.agent("start", ip=ip)
            for program, machine in ((ECHO, one), (ECHO, two), (ASK, client)):
                helpers.append(machine.start(PYTHON, "-IS", "-c", program, ip))
                helpers[-1].stdout.readline()
            time.sleep(0.5)
            one.agent("stop", ip=ip)
            two.agent("start", ip=ip)
            return [float(helpers[-1].communicate(timeout=30)[0])]
        finally:
            for helper in helpers:
                helper.kill()
                helper.communicate()
            client.close()

    return case


ECHO = """
import socket
ears = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
ears.bind(("::", 7))
print("ready", flush=True)
while True:
    word, sender, = ears.recvfrom(64)
    ears.sendto(word, sender)
"""
ASK = """
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
mouth = socket.socket(family, socket.SOCK_DGRAM)
mouth.settimeout(0.005)
begun = last = time.monotonic()
longest = quiet = 0.0
print("ready", flush=True)
# Over when the address has been away and then answered for a second.
while time.monotonic() < begun + 25 and not (longest > 0.05 and time.monotonic() > back + 1):
    try:
        mouth.sendto(b"x", (sys.argv[1], 7))
        mouth.recv(64)
    except OSError:
        time.sleep(0.005)
        continue
    now = time.monotonic()
    if now - last > longest:
        longest, back = now - last, now
    last = now
    time.sleep(0.003)
print(round(longest, 3))
"""


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
    "seconds of start v4": seconds_of_start(V4),
    "seconds of start v6": seconds_of_start(V6),
    "seconds of silence v4": seconds_of_silence(V4),
    "seconds of silence v6": seconds_of_silence(V6),
}


def main(program, *only):
    """Run all cases, or those whose names begin with one of the words, with an agent."""
    Machine.program = (program,)
    found = {}
    for name, case in CASES.items():
        if only and not name.startswith(only):
            continue
        machines = lan()
        try:
            found[name] = case(*machines)
        finally:
            for machine in machines:
                machine.close()
    print(json.dumps(found))


main(*sys.argv[1:])
