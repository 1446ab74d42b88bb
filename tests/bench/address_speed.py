"""What each action on an address costs, IPaddr2's and ours, in a network namespace of the lab's node.

Whose turn it is does not matter to an address: both agents are put to the very same ones, on the same link.
"""

from __future__ import annotations

from tests.bench import calls
from tests.bench.calls import ADDRESS_SIDES, OUR_ADDRESS, Call
from tests.bench.speed import in_turns, row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.calls import Ran, Side
    from tests.bench.speed import Row
    from tests.bench.stage import Stage

NAMESPACE = "kvmha-bench"
HERE, ABSENT = "10.78.0.100", "10.78.0.250"
V4, V6 = "10.78.0.200", "2001:db8:78::200"
MANY = 200
"""Addresses on a node that has many."""

# Nobody else is on the cable, so nobody answers: both agents have to wait as long as they ever do.
SET_UP = f"""\
set -e
ip netns del {NAMESPACE} 2> /dev/null || true
ip netns add {NAMESPACE}
in_it="ip -n {NAMESPACE}"
$in_it link set lo up
$in_it link add eth0 type veth peer name far0
$in_it link set eth0 up
$in_it link set far0 up
$in_it addr add 10.78.0.1/24 dev eth0
$in_it addr add 2001:db8:78::1/64 dev eth0 nodad
"""
MORE = f"""\
set -e
number=1
while [ $number -lt {MANY} ]; do
    ip -n {NAMESPACE} addr add 10.79.0.$number/24 dev eth0
    number=$((number + 1))
done
"""

MOST_YARDSTICKS, LEAST_GAIN = 1.8, 3.0
"""The aims of the monitor: processor time of the bare interpreter, and how much less than IPaddr2 takes."""


def measure(stage: Stage, runs: int, say: Callable[[str], None]) -> tuple[Row, ...]:
    """Return a row for each action of each agent."""
    node = stage.nodes[0]
    before = ("ip", "netns", "exec", NAMESPACE)
    stage.run(node, "sh", "-c", SET_UP)
    try:
        say(f"address: {runs} rounds of monitor, probe, meta-data and validate-all of both agents")
        started = _run(stage, OUR_ADDRESS, "start", HERE, "timed")
        if started.rc != 0:
            say(f"    the address to measure with does not start: {started.reason}")
        rows = in_turns(stage.lab, node, ADDRESS_SIDES, _quick(), runs, before=before)
        say(f"address: {runs} rounds of start and stop, IPv4 and IPv6")
        rows += _cycles(stage, max(runs // 2, 1), rows[0].cpu)
        stage.run(node, "sh", "-c", MORE, timeout=120)
        say(f"address: {runs} rounds of monitor with {MANY} addresses on the node")
        crowded = {f"monitor, {MANY} addresses": lambda side: _call(side, "monitor", HERE, interval=10)}
        rows += in_turns(stage.lab, node, ADDRESS_SIDES, crowded, runs, before=before)[1:]
        _run(stage, OUR_ADDRESS, "stop", HERE, "timed")
        return tuple(rows)
    finally:
        stage.run(node, "ip", "netns", "del", NAMESPACE, ok=None)


def _quick() -> dict[str, Callable[[Side], Call]]:
    return {
        "monitor": lambda side: _call(side, "monitor", HERE, interval=10),
        "probe, address here": lambda side: _call(side, "monitor", HERE),
        "probe, address absent": lambda side: _call(side, "monitor", ABSENT, instance="bench-absent"),
        "validate-all": lambda side: _call(side, "validate-all", HERE),
        "meta-data": lambda side: _call(side, "meta-data", HERE),
    }


def _cycles(stage: Stage, runs: int, yardstick: float) -> list[Row]:
    """Start and stop an address of each family by turns of the agents: timed some times, then once counted."""
    timed: dict[tuple[str, str], list[Ran]] = {}
    counted: dict[tuple[str, str], Ran] = {}
    for turn in range(runs + 1):
        how = "timed" if turn < runs else "counted"
        for family, ip in (("IPv4", V4), ("IPv6", V6)):
            for side in ADDRESS_SIDES:
                for action in ("start", "stop"):
                    ran = _run(stage, side, action, ip, how)
                    key = f"{action}, {family}", side.name
                    timed.setdefault(key, []).extend([ran] if how == "timed" else [])
                    counted[key] = ran
    return [row(*key, timed[key], counted[key], yardstick) for key in sorted(timed, key=_order)]


def _order(key: tuple[str, str]) -> tuple[str, bool]:
    return key[0], key[1] == OUR_ADDRESS.name


def _run(stage: Stage, side: Side, action: str, ip: str, how: str) -> Ran:
    node = stage.nodes[0]
    # Ours knows an instance by what it has started: another address would be a changed parameter.
    instance = f"bench-{side.provider}-{ip.rpartition(':')[2]}"
    job = calls.job(side, _call(side, action, ip, instance=instance), node, how)
    return calls.run(stage.lab, node, [job], before=("ip", "netns", "exec", NAMESPACE))[0]


def _call(side: Side, action: str, ip: str, *, interval: float = 0, instance: str = "") -> Call:
    prefix = "64" if ":" in ip else "24"
    params = {"ip": ip, "cidr_netmask": prefix, "nic": "eth0"}
    return Call(
        action=action,
        instance=instance or f"bench-{side.provider}",
        # For a minute after a start our monitors announce; what is measured is all the time after that.
        params={**params, "announce_time": "0"} if action == "monitor" else params,
        timeout=20,
        interval=interval,
    )
