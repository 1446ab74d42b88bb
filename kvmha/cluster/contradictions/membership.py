"""What nodes, quorum, fencing and timing must be to one another."""

from __future__ import annotations

import ipaddress

from kvmha.cluster.contradictions.reading import group, listed, names, numbered
from kvmha.cluster.fields.membership import LINKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Faults = Iterator[tuple[str, str]]

SIZES = {2: "two-node", 3: "three-node"}
"""How many nodes a cluster may have, with the template that this chooses."""


JOIN_MS = 50
"""How long corosync waits for join messages by default (corosync.conf(5))."""


def wrong_nodes(values: dict[str, Any]) -> Faults:
    """Two or three nodes; every link joins addresses of one family."""
    nodes = values.get("nodes")
    if nodes is None:
        return
    if len(nodes) not in SIZES:
        templates = " or ".join(f"{count} (template {name})" for count, name in SIZES.items())
        yield "nodes", f"{len(nodes)} nodes; expected {templates}"
    given = {n: node["addresses"] for n, node in enumerate(nodes) if "addresses" in node}
    model, links = next(((n, addresses) for n, addresses in given.items() if addresses), (0, ()))
    for number, addresses in given.items():
        place = f"nodes[{number}].addresses"
        if not 1 <= len(addresses) <= LINKS:
            yield place, f"{len(addresses)} addresses; expected 1 to {LINKS}, one for each corosync link"
        elif len(addresses) != len(links):
            yield place, f"{len(addresses)} addresses; expected {len(links)} as on nodes[{model}]"
        for link, (mine, other) in enumerate(zip(addresses, links)):
            # The two ends of a knet link speak the same protocol.
            if mine and other and _version(mine) != _version(other):
                said = f'"{mine}" is IPv{_version(mine)}; expected IPv{_version(other)} as on nodes[{model}]'
                yield f"{place}[{link}]", said


def partly_given(values: dict[str, Any]) -> Faults:
    """What a node says about itself for placement and moves counts only if all of them say it."""
    nodes = values.get("nodes") or ()
    for field in ("migration_address", "memory", "vcpu", "networks", "devices", "storage", "cpu"):
        having = [node.get(field) is not None for node in nodes if field in node]
        if any(having) and not all(having):
            number = having.index(False)
            given = having.index(True)
            yield f"nodes[{number}]", f"{field} is missing; expected it on all nodes as on nodes[{given}], or on none"


def unfenced(values: dict[str, Any]) -> Faults:
    """Every node can be fenced: by a device of its own, or by sbd."""
    if values.get("sbd", {}) is not None:
        return
    for place, node in numbered(values, "nodes"):
        if node.get("fencing") == ():
            said = "missing; expected agent and options of the node's fence device, or a list of such"
            yield f"{place}.fencing", said


def wrong_sbd(values: dict[str, Any]) -> Faults:
    """A poison pill has its time; a watchdog alone needs a majority that one node of a pair never has."""
    sbd = group(values, "sbd")
    watchdog, devices = sbd.get("watchdog_timeout"), sbd.get("devices")
    if len(devices or ()) == 2 or len(devices or ()) > 3:
        said = f"{len(devices or ())} devices; expected none, 1 or 3"
        yield "sbd.devices", f"{said}: with 2, the loss of either one counts as both"
    for field in ("msgwait", "stonith_watchdog_timeout"):
        time = sbd.get(field)
        if time is not None and watchdog is not None and time < 2 * watchdog:
            said = f'"{time}" is too short for watchdog_timeout {watchdog}; expected at least {2 * watchdog}'
            yield f"sbd.{field}", said
    if devices and sbd.get("stonith_watchdog_timeout") is not None:
        said = "given together with devices; expected it only without them"
        yield "sbd.stonith_watchdog_timeout", said
    alone = len(values.get("nodes") or ()) == 2 and group(values, "quorum").get("device", {}) is None
    if devices == () and alone:
        said = (
            "without devices in a pair that has no quorum device; expected sbd.devices, quorum.device or a third node"
        )
        yield "sbd", f"{said}: each half would count as the majority"


def wrong_quorum(values: dict[str, Any]) -> Faults:
    """A quorum device lies outside, and gives its votes by an algorithm that suits the number of nodes."""
    quorum, nodes = group(values, "quorum"), values.get("nodes") or ()
    device = group(quorum, "device")
    if device.get("algorithm") == "ffsplit" and len(nodes) == 3:
        said = '"ffsplit" suits an even number of nodes; expected lms with 3 nodes'
        yield "quorum.device.algorithm", said
    inside = {*names(values, "nodes"), *(address for node in nodes for _, address in listed(node, "addresses"))}
    if device.get("host") in inside:
        yield "quorum.device.host", f'"{device["host"]}" is a node of the cluster; expected a machine outside of it'
    ids = [str(number) for number, _ in enumerate(nodes, 1)]
    if device.get("tie_breaker") not in (None, "lowest", "highest", *ids):
        said = f'"{device["tie_breaker"]}" is the id of no node; expected lowest, highest or one of {", ".join(ids)}'
        yield "quorum.device.tie_breaker", said
    if quorum.get("wait_for_all") is False and quorum.get("device", {}) is None and len(nodes) == 2:
        said = '"no" in a pair without a quorum device; expected yes: a node that boots alone would fence the other one'
        yield "quorum.wait_for_all", said
    timeout, sync = device.get("timeout"), device.get("sync_timeout")
    if timeout is not None and sync is not None and sync < timeout:
        yield "quorum.device.sync_timeout", f'"{sync}" is shorter than timeout {timeout}; expected at least as long'


def wrong_timing(values: dict[str, Any]) -> Faults:
    """Corosync refuses a consensus below join; among three it is longer than the token (corosync.conf(5))."""
    timing, network = group(values, "timing"), group(values, "network")
    token, consensus = timing.get("token"), timing.get("consensus")
    join = timing.get("join") or JOIN_MS
    if consensus is not None and consensus <= join:
        yield "timing.consensus", f'"{consensus}" is not longer than join {join}; expected more than {join}'
    elif consensus is not None and token is not None and consensus <= token and len(values.get("nodes") or ()) > 2:
        said = f'"{consensus}" is not longer than token {token}; expected more than {token} with more than two nodes'
        yield "timing.consensus", said
    interval, timeout = timing.get("knet_ping_interval"), timing.get("knet_ping_timeout")
    if interval is not None and timeout is not None and timeout < interval:
        said = f'"{timeout}" is shorter than knet_ping_interval {interval}; expected at least as long'
        yield "timing.knet_ping_timeout", said
    if network.get("crypto_hash") == "none" and network.get("crypto_cipher") not in (None, "none"):
        yield "network.crypto_hash", '"none" with a cipher; expected a hash, or crypto_cipher none as well'


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


RULES = (wrong_nodes, partly_given, unfenced, wrong_sbd, wrong_quorum, wrong_timing)
