"""Run in a lab's node: for how long a client with a warm neighbour cache misses an address that moves.

The source of tests/contract/namespaces.py goes before this one on standard input. The arguments are the agent's path,
the address, and how many times. It prints a JSON list with an object for each time:

moved    the agent stops the address on one node and starts it on another
failed   the first node's cable is cut, as by its end, and the agent starts the address on the other at once

Each is [seconds from the beginning of the start to the first answer, seconds without an answer]; null where none came.
"""

# ruff: noqa: F821 (Machine, Switch and their imports are in the file that goes before)
from __future__ import annotations

import json
import select
import sys
import time

PATIENCE = 40.0
"""Seconds for an answer: a neighbour that nobody tells anything asks again by itself within them."""

# Both families; with a /run of their own for each machine, the processes find nothing of each other.
ECHO = """
import socket
ears = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
ears.bind(("::", 7))
print("ready", flush=True)
while True:
    word, sender = ears.recvfrom(64)
    try:
        ears.sendto(word, sender)
    except OSError:
        pass  # The address has gone in between.
"""

# An answer counts for the question that it carries, so that none which was long on its way fills a gap.
ASK = """
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
mouth = socket.socket(family, socket.SOCK_DGRAM)
mouth.settimeout(0.004)
number, last = 0, time.monotonic()
print("ready", flush=True)
while True:
    number += 1
    asked = time.monotonic()
    try:
        mouth.sendto(b"%d" % number, (sys.argv[1], 7))
        while mouth.recv(64) != b"%d" % number:
            pass
    except OSError:
        time.sleep(0.001)
        continue
    now = time.monotonic()
    print(last, now, flush=True)
    last = now
    time.sleep(0.002)
"""


def carrier(machine, word):
    until = time.monotonic() + 20
    while word not in machine.ip("link", "show", "eth0") and time.monotonic() < until:
        time.sleep(0.05)


def gap_around(client, moment):
    """Return when a client was answered last before a moment and first after it; None if that takes too long."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not select.select([client.stdout], [], [], 1)[0]:
            continue
        before, after = map(float, client.stdout.readline().split())
        if after > moment:
            return before, after
    return None


def watched(client, act):
    """Do what brings the address to its new place, and return its times as a client saw them."""
    begun = act()
    found = gap_around(client, begun)
    return None if found is None else [found[1] - begun, found[1] - found[0]]


def once(ip):
    switch, one, two, client = machines = [Switch(), Machine(), Machine(), Machine()]
    helpers = []
    try:
        for number, machine in enumerate((one, two, client), start=1):
            switch.plug(machine, number)
        for machine in (one, two, client):
            carrier(machine, "LOWER_UP")
        one.agent("start", ip=ip)
        for program, machine in ((ECHO, one), (ECHO, two), (ASK, client)):
            helpers.append(machine.start(PYTHON, "-IS", "-c", program, ip))
            helpers[-1].stdout.readline()
        asking = helpers[-1]
        gap_around(asking, time.monotonic() + 0.5)

        def move():
            one.agent("stop", ip=ip)
            return start(two)

        def fail():
            switch.cut(2)
            return start(one)

        def start(machine):
            begun = time.monotonic()
            machine.agent("start", ip=ip)
            return begun

        moved = watched(asking, move)
        # A second of answers: the neighbour's entry is one that works.
        gap_around(asking, time.monotonic() + 1)
        return {"moved": moved, "failed": watched(asking, fail)}
    finally:
        for helper in helpers:
            helper.kill()
            helper.communicate()
        for machine in machines:
            machine.close()


def main(program, ip, runs):
    Machine.program = (program,)
    print(json.dumps([once(ip) for _ in range(int(runs))]))


main(*sys.argv[1:])
