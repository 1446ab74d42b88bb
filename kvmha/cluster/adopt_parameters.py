"""Parameters of the shell agents in the words of ours, and back.

Invariant: what a resource is, and how it behaves, is the same on both sides as far as both can say it; every parameter
that was left out, added or changed is named with its reason, and one that makes another thing of the resource refuses
the whole. The tables in docs/virtual-domain.md, docs/floating-ip.md and docs/drbd.md are the reference.
"""

from __future__ import annotations

import ipaddress

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GUEST, ADDRESS, REPLICA = "VirtualDomain", "FloatingIP", "DRBD"

SHELL = {
    "ocf:heartbeat:VirtualDomain": f"ocf:kvmha:{GUEST}",
    "ocf:heartbeat:IPaddr2": f"ocf:kvmha:{ADDRESS}",
    "ocf:linbit:drbd": f"ocf:kvmha:{REPLICA}",
}
"""What each of the shell agents becomes."""

OURS = {ours: shell for shell, ours in SHELL.items()}

DEPTH = "OCF_CHECK_LEVEL"


class Translation(Record):
    """The parameters in the other agent's words, what is different, and why it cannot be done, if so."""

    params: Mapping[str, str]
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    monitor: Mapping[str, str] | None = None
    """A further monitor that the resource needs to be looked at as before, as the attributes of an operation."""


class _Words:
    """Collects a translation."""

    def __init__(self, params: Mapping[str, str]) -> None:
        self.params = dict(params)
        self.notes: list[str] = []
        self.refusals: list[str] = []
        self.monitor: dict[str, str] | None = None

    def drop(self, name: str, why: str) -> None:
        """Leave a parameter out, if it is there."""
        if name in self.params:
            self.notes.append(f"{name}={self.params.pop(name)} is left out: {why}")

    def put(self, name: str, value: str, why: str) -> None:
        """Set a parameter."""
        self.params[name] = value
        self.notes.append(f"{name}={value} is set: {why}")

    def done(self) -> Translation:
        return Translation(
            params=self.params, notes=tuple(self.notes), refusals=tuple(self.refusals), monitor=self.monitor
        )


def forth(
    agent: str, params: Mapping[str, str], known: frozenset[str], *, clone: Mapping[str, str] | None = None
) -> Translation:
    """Return the parameters of a shell agent for ours; ``known`` are the names that our agent has.

    ``clone`` are the meta attributes of the clone around it, None for none.
    """
    words = _Words(params)
    FORTH[agent](words)
    if agent == "ocf:heartbeat:IPaddr2" and clone is not None:
        words.refusals.append("it is a clone, one address on several nodes at a time, which FloatingIP never is")
    if agent == "ocf:linbit:drbd":
        _around_replica(words, clone or {})
    for name in sorted(words.params.keys() - known):
        words.drop(name, "the agent has no such parameter")
    return words.done()


def back(
    agent: str, params: Mapping[str, str], known: frozenset[str], *, clone: Mapping[str, str] | None = None
) -> Translation:
    """Return the parameters of one of our agents for the shell agent, which has the names ``known``.

    ``clone`` are the meta attributes of the clone around it, None for none.
    """
    words = _Words(params)
    BACK[agent](words)
    words.refusals += why_not_back(agent, params, clone or {})
    for name in sorted(words.params.keys() - known):
        words.drop(name, "the shell agent has no such parameter")
    return words.done()


def _guest(words: _Words) -> None:
    config = words.params.get("config", "")
    if not config.startswith("/"):
        words.refusals.append(f'config="{config}" is no absolute path; give the absolute path of the definition first')
    uri = words.params.get("hypervisor", "")
    if uri and not uri.startswith("qemu:///"):
        words.refusals.append(f'hypervisor="{uri}" is not one of qemu:///, and other hypervisors are not served')
    for name in ("unset_utilization_cpu", "unset_utilization_host_memory", "unset_utilization_hv_memory"):
        words.drop(name, "nothing is written unasked")
    kept = [name for name in AUTOSET if not words.params.get(name)]
    if kept:
        said = "the utilization that is there stays, and is not written any more unless this is set to true"
        words.notes.append(f"{', '.join(kept)}: on in the shell agent, off here; {said}")
    if words.params.get("seapath", "").lower() in TRUE:
        words.refusals.append("seapath=true keeps the definition in an RBD image, which is not known here")
    if "shutdown_mode" in words.params:
        words.notes.append("shutdown_mode has an effect now; the shell agent ignores it")
    scripts = words.params.get("monitor_scripts", "").split()
    relative = [script for script in scripts if not script.startswith("/")]
    if relative:
        words.refusals.append(f"monitor_scripts names {', '.join(relative)}; give absolute paths first")
    if scripts:
        words.monitor = {"name": "monitor", "interval": "120s", "timeout": "120s", DEPTH: "20"}
        words.notes.append("a monitor every 120 s of depth 20 is added: monitor_scripts run there only")


AUTOSET = ("autoset_utilization_cpu", "autoset_utilization_host_memory", "autoset_utilization_hv_memory")
TRUE = ("1", "yes", "true", "ja", "on")
"""The words that the shell agents take for true (ocf_is_true in resource-agents)."""


def _address(words: _Words) -> None:
    params = words.params
    nic, colon, label = params.get("nic", "").partition(":")
    if colon:
        params["nic"] = nic
        words.put("iflabel", label, f"nic={nic}:{label} said both")
    mask = params.get("cidr_netmask", "")
    if "." in mask:
        length = prefix_length(mask)
        if length is None:
            words.refusals.append(f'cidr_netmask="{mask}" is no netmask; give the length of the prefix first')
        else:
            words.put("cidr_netmask", str(length), f"the length of {mask}")
    for name in ("mac", "clusterip_hash", "clusterip_firewall"):
        if params.get(name):
            words.refusals.append(
                f"{name}={params[name]} is one address on several nodes at a time, which is not served"
            )
    if params.get("unique_clone_address", "").lower() in TRUE:
        words.refusals.append("unique_clone_address makes an address per clone; give each a resource of its own first")
    for name, why in GONE.items():
        words.drop(name, why)
    is_ipv6 = ":" in params.get("ip", "")
    if is_ipv6 and "lvs_ipv6_addrlabel" not in params:
        words.put("lvs_ipv6_addrlabel", "true", "the shell agent's default, and the label is there")
    if not is_ipv6:
        for name in ("lvs_ipv6_addrlabel", "lvs_ipv6_addrlabel_value", "nodad"):
            words.drop(name, "it is for IPv6")
    count = params.get("arp_count", "")
    if count.isdigit() and int(count) > MOST_ANNOUNCEMENTS:
        words.put("arp_count", str(MOST_ANNOUNCEMENTS), f"instead of {count}, the most that the agent takes")


MOST_ANNOUNCEMENTS = 100

GONE = {
    "arp_bg": "the agent announces by itself",
    "arp_sender": "the agent announces by itself",
    "send_arp_opts": "the agent announces by itself",
    "proto": "the agent does not look at routes",
    "run_arping": "every start looks for a duplicate, for duplicate_wait milliseconds",
    "clusterip_hash_seed": "there is no address on several nodes",
    "clusterip_hash_table": "there is no address on several nodes",
    "clusterip_hash_chain": "there is no address on several nodes",
    "clusterip_mac_mangle": "there is no address on several nodes",
    "unique_clone_address": "there is no address on several nodes",
}


def prefix_length(mask: str) -> int | None:
    """Return the length that a dotted netmask stands for, or None."""
    try:
        return ipaddress.ip_network(f"0.0.0.0/{mask}").prefixlen
    except ValueError:
        return None


def _replica(words: _Words) -> None:
    wait = words.params.get("wfc_timeout", "")
    if wait and not (wait.isascii() and wait.isdigit()):
        words.put("wfc_timeout", "0", f"instead of {wait}, with which the shell agent does not wait")
    elif wait and int(wait) > LONGEST_WAIT_S:
        words.put("wfc_timeout", str(LONGEST_WAIT_S), f"instead of {wait}, the most that the agent takes")
    if "adjust_master_score" in words.params and scores_of(words.params) is None:
        words.drop("adjust_master_score", "it is not four figures that rise, and the shell agent goes by its own, too")
    for name, why in REPLICA_GONE.items():
        words.drop(name, why)


LONGEST_WAIT_S = 600

BEST_SCORE = 10_000


def scores_of(params: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return a replica's four promotion scores, the last for one in step with its peers; None for wrong ones."""
    words = params.get("adjust_master_score", f"0 10 1000 {BEST_SCORE}").split()
    if len(words) != 4 or not all(word.isascii() and word.isdigit() for word in words):
        return None
    found = tuple(int(word) for word in words)
    return found if list(found) == sorted(found) else None


REPLICA_GONE = {
    "stop_outdates_secondary": "DRBD's own fencing says what is outdated",
    "ignore_missing_notifications": "the agent does without notifications",
    "remove_master_score_if_peer_primary": "the score goes by the data",
    "fail_promote_early_if_peer_primary": "promote finds the peer by itself",
    "unfence_if_all_uptodate": "that is always done",
    "unfence_extra_args": "the handler takes what it needs from DRBD",
    "connect_only_after_promote": "the agent does not connect by itself",
}


def _around_replica(words: _Words, clone: Mapping[str, str]) -> None:
    if clone.get("promotable", "").lower() not in TRUE:
        words.refusals.append("it is in no promotable clone, without which the shell agent is never promoted either")
    most = clone.get("promoted-max") or clone.get("master-max") or "1"
    if most != "1":
        said = "both sides stay promoted at all times; docs/drbd-primary.md has the set for guests that does without"
        words.notes.append(f"promoted-max={most}: {said}")


def why_not_back(agent: str, params: Mapping[str, str], clone: Mapping[str, str]) -> list[str]:
    """Return what the shell agent has against what is around a resource, which ours does not need."""
    if OURS[agent] != "ocf:linbit:drbd":
        return []
    found = []
    if clone.get("promotable", "").lower() not in TRUE:
        found.append("it is in no promotable clone, and the shell agent takes a promoted device for a failed one there")
    told = clone.get("notify", "").lower() in TRUE or params.get("ignore_missing_notifications", "").lower() in TRUE
    if not told:
        found.append(
            "its clone has no notify=true, without which the shell agent neither starts nor promotes; set it first"
        )
    return found


def around(clone: Mapping[str, str], nodes: int) -> dict[str, str]:
    """Return what Pacemaker tells an agent of the clone around it, as parameters; DRBD's shell agent insists on it."""
    most = clone.get("promoted-max") or clone.get("master-max") or "1"
    each = clone.get("promoted-node-max") or clone.get("master-node-max") or "1"
    return {
        "CRM_meta_clone_max": clone.get("clone-max") or str(nodes),
        "CRM_meta_clone_node_max": clone.get("clone-node-max") or "1",
        "CRM_meta_master_max": most,
        "CRM_meta_master_node_max": each,
        "CRM_meta_notify": clone.get("notify", "false"),
    }


def _guest_back(words: _Words) -> None:
    if words.params.get("domain"):
        said = "the shell agent knows guests by the file of their definition only"
        words.refusals.append(f"domain={words.params['domain']}: {said}")


def _address_back(words: _Words) -> None:
    if words.params.get("arp_count") == "0":
        words.drop("arp_count", "the shell agent refuses 0")


def _nothing(_words: _Words) -> None:
    """DRBD's parameters that both have mean the same."""


FORTH: dict[str, Callable[[_Words], None]] = {
    "ocf:heartbeat:VirtualDomain": _guest,
    "ocf:heartbeat:IPaddr2": _address,
    "ocf:linbit:drbd": _replica,
}
BACK: dict[str, Callable[[_Words], None]] = {
    f"ocf:kvmha:{GUEST}": _guest_back,
    f"ocf:kvmha:{ADDRESS}": _address_back,
    f"ocf:kvmha:{REPLICA}": _nothing,
}
