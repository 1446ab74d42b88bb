"""Faults of the network: what this node sends or hears is dropped or late. nftables' table goes with the drill."""

from __future__ import annotations

from kvmha.drill.faults import corosync_links as of_links
from kvmha.drill.faults.plan import LIMIT, TABLE, Fault, Plan, here
from kvmha.errors import UserError
from kvmha.gather import fencing
from kvmha.host import CommandError
from kvmha.tools import corosync_conf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kvmha.host import Host

PLAIN_QUEUES = ("noqueue", "pfifo_fast", "fq_codel", "fq", "mq")

BIG_BYTES = 1000
"""Packets that are longer than this vanish in a black hole: more than a token, less than what Ethernet takes."""

QNETD_PORT = "5403"
"""Where corosync-qnetd listens, if corosync.conf says nothing else (corosync-qnetd(8))."""

RULES = """\
table inet {table} {{
  chain input {{ type filter hook input priority -300; policy accept; {input} }}
  chain output {{ type filter hook output priority -300; policy accept; {output} }}
}}
"""

SOONEST_S = 1.0
"""What a node needs to prepare what it does at a moment that was agreed."""

UNDO = (("nft", "delete", "table", "inet", TABLE),)


def rules(*, said: str, incoming: Iterable[str], outgoing: Iterable[str], is_late: bool = False) -> Plan:
    """Return the plan that drops what matches; a match is an expression of nft(8)."""
    text = RULES.format(
        table=TABLE,
        input=" ".join(f"{each} drop;" for each in incoming),
        output=" ".join(f"{each} drop;" for each in outgoing),
    )
    return Plan(act=("nft", "-f", "-"), given=text, undo=UNDO, said=said, is_late=is_late)


def _cut(host: Host, fault: Fault, *, is_late: bool) -> Plan:
    found = of_links.interfaces(host, fault.links)
    return rules(
        said=f"nothing passes {', '.join(found)} any more", is_late=is_late,
        incoming=[f'iifname "{name}"' for name in found], outgoing=[f'oifname "{name}"' for name in found],
    )  # fmt: skip


def _link_cut(host: Host, fault: Fault) -> Plan:
    return _cut(host, fault, is_late=False)


def _links_cut(host: Host, fault: Fault) -> Plan:
    return _cut(host, fault, is_late=True)


CUT_AND_HEAL = """\
sleep "$(awk -v at="$1" -v now="$(date +%s.%N)" 'BEGIN { printf "%.3f", at > now ? at - now : 0 }')"
nft -f -
sleep "$2"
nft delete table inet "$3"
"""
"""Nodes whose links came back one after the other would be fenced by those that found each other first."""


def _partition(host: Host, fault: Fault) -> Plan:
    if fault.at and fault.at < host.wall_clock() + SOONEST_S:
        raise UserError("the order came too late to be carried out at the same moment everywhere")
    plan = _links_cut(host, fault)
    argv = ("sh", "-c", CUT_AND_HEAL, "cut-and-heal", f"{fault.at:.3f}", f"{fault.hold_s:g}", TABLE)
    return plan.replace(act=argv, is_timed=True)


def _deaf(host: Host, fault: Fault, *, is_late: bool) -> Plan:
    found = of_links.interfaces(host, fault.links)
    return rules(
        said=f"nothing that arrives by {', '.join(found)} is heard; what is sent goes out", is_late=is_late,
        incoming=[f'iifname "{name}"' for name in found], outgoing=(),
    )  # fmt: skip


def _link_one_way(host: Host, fault: Fault) -> Plan:
    return _deaf(host, fault, is_late=False)


def _links_one_way(host: Host, fault: Fault) -> Plan:
    return _deaf(host, fault, is_late=True)


def _link_loss(host: Host, fault: Fault) -> Plan:
    (name,) = of_links.interfaces(host, fault.links)
    return rules(
        said=f"{fault.percent} % of what arrives by {name} is lost",
        incoming=[f'iifname "{name}" numgen random mod 100 < {fault.percent}'], outgoing=(),
    )  # fmt: skip


def _link_mtu(host: Host, fault: Fault) -> Plan:
    (name,) = of_links.interfaces(host, fault.links)
    # Where the kernel puts segments together, what it sees is longer than what came by the wire, and big all the same.
    return rules(
        said=f"packets of more than {BIG_BYTES} bytes do not pass {name}, and nobody is told",
        incoming=[f'iifname "{name}" meta length > {BIG_BYTES}'],
        outgoing=[f'oifname "{name}" meta length > {BIG_BYTES}'],
    )  # fmt: skip


def _link_delay(host: Host, fault: Fault) -> Plan:
    (name,) = of_links.interfaces(host, fault.links)
    shown = host.run("tc", "qdisc", "show", "dev", name, "root", timeout=LIMIT).out.split()
    if shown[1:2] and (shown[1] not in PLAIN_QUEUES or shown[2:3] not in (["0:"], [])):
        raise UserError(f"{name} has a queueing discipline of its own ({shown[1]}), which this drill would replace")
    # Tried in a network of its own, which is gone with the command.
    tried = host.run("unshare", "--net", *_late("lo", fault), timeout=LIMIT, ok=None)
    if tried.rc != 0:
        why = tried.err.strip()[-120:]
        raise UserError(f"{here(host)} cannot hold packets back: its kernel needs netem (sch_netem): {why}")
    return Plan(
        act=_late(name, fault),
        undo=(("tc", "qdisc", "del", "dev", name, "root", "netem"),),
        said=f"what leaves by {name} is {fault.delay_ms} ms late",
    )  # fmt: skip


def _late(interface: str, fault: Fault) -> tuple[str, ...]:
    return ("tc", "qdisc", "add", "dev", interface, "root", "netem", "delay", f"{fault.delay_ms}ms")


def _qdevice_lost(host: Host, fault: Fault) -> Plan:
    net = corosync_conf.read(host).section("quorum").section("device").section("net")
    if not net.value("host"):
        raise UserError("corosync.conf has no quorum device of model net, so there is none to lose")
    found = addresses_of(host, net.value("host"))
    port = net.value("port", QNETD_PORT)
    return rules(
        said=f"the quorum device at {net.value('host')}:{port} is not reached",
        incoming=[f"{_family(each)} saddr {each} tcp sport {port}" for each in found],
        outgoing=[f"{_family(each)} daddr {each} tcp dport {port}" for each in found],
    )


def _fencing_lost(host: Host, fault: Fault) -> Plan:
    facts = fencing.live(host)
    devices = {each.id: each for level in facts.fencing_of(fault.target) for each in level}
    if not devices:
        raise UserError(f"no fence device is known to fence {fault.target}")
    names = {name: device.params.get("ip") or device.params.get("ipaddr", "") for name, device in devices.items()}
    without = [f"{name} ({devices[name].agent})" for name, address in names.items() if not address]
    if without:
        raise UserError(f"{', '.join(without)} has no option ip, so no network leads to it that could be lost")
    found = [each for name in sorted(set(names.values())) for each in addresses_of(host, name)]
    return rules(
        said=f"{', '.join(sorted(names))} at {', '.join(found)} is not reached",
        incoming=[f"{_family(each)} saddr {each}" for each in found],
        outgoing=[f"{_family(each)} daddr {each}" for each in found],
    )


def addresses_of(host: Host, name: str) -> tuple[str, ...]:
    """Return the addresses of a name, as this node resolves it; an address is its own. Raises UserError."""
    try:
        done = host.run("getent", "ahosts", name, timeout=LIMIT)
    except CommandError as error:
        raise UserError(f"nobody here knows the address of {name}: {error}") from None
    return tuple(dict.fromkeys(line.split()[0] for line in done.out.splitlines() if line.split()))


def _family(address: str) -> str:
    return "ip6" if ":" in address else "ip"


PLANS: dict[str, Callable[[Host, Fault], Plan]] = {
    "link-cut": _link_cut,
    "links-cut": _links_cut,
    "link-one-way": _link_one_way,
    "links-one-way": _links_one_way,
    "partition": _partition,
    "link-loss": _link_loss,
    "link-delay": _link_delay,
    "link-mtu": _link_mtu,
    "qdevice-lost": _qdevice_lost,
    "fencing-lost": _fencing_lost,
}
