"""DRBD's configuration: that no write is lost, and that nobody writes twice."""

from __future__ import annotations

from kvmha.cluster.facts.records import DRBD_AGENTS
from kvmha.cluster.lint.rule import CIB, ERROR, NOTE, WARNING, Fault, Rule, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen
    from kvmha.tools.drbd_conf import DrbdResource

AREA = "drbd"

PING_INTERVAL_S, PING_TIMEOUT_DS, TIMEOUT_DS, CONNECT_S = 10, 5, 60, 10
"""DRBD's defaults of ping-int, ping-timeout, timeout and connect-int (drbd.conf(5))."""

SAFE_AFTER_SPLIT = ("disconnect", "consensus", "discard-zero-changes", "call-pri-lost-after-sb")


def _configured(facts: Facts) -> Iterator[tuple[DrbdResource | None, Unknown | None]]:
    """Yield each DRBD resource that the cluster uses, with its configuration or why that is not known."""
    wanted = sorted({resource.params.get("drbd_resource", "") for resource in facts.resources(DRBD_AGENTS)} - {""})
    for name in wanted:
        found = next((each for each in facts.drbd or () if each.name == name), None)
        if found is not None:
            yield found, None
        elif facts.drbd is None:
            yield None, Unknown(subject=f"DRBD {name}", said="its configuration is on the nodes: drbdadm dump")
        else:
            yield None, Unknown(subject=f"DRBD {name}", said="no node that was asked has it in its configuration")


def net_number(resource: DrbdResource, name: str, default: int) -> int:
    """Return a number among the options of the connection."""
    text = resource.option("net", name) or ""
    return int(text) if text.isdigit() else default


def _fencing(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        if resource is None:
            continue
        # DRBD 8.4 has it among the options of the disk, and takes it there still.
        word = resource.option("net", "fencing") or resource.option("disk", "fencing") or "dont-care"
        has_quorum = (resource.option("options", "quorum") or "off") != "off"
        if word == "dont-care" and not has_quorum:
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="a side that lost the other one goes on alone, and so does the other: two histories of one disk",
                chain="fencing dont-care, which is the default; no quorum",
                yaml="replication: {fencing: resource-and-stonith}",
                commands=("net { fencing resource-and-stonith; }   # in the resource, then drbdadm adjust",),
            )
        elif word == "resource-only":
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="writes go on while the other side is being outdated, which a split of all links keeps from it",
                chain="fencing resource-only; expected resource-and-stonith",
                yaml="replication: {fencing: resource-and-stonith}",
                commands=("net { fencing resource-and-stonith; }   # in the resource, then drbdadm adjust",),
            )


def _handlers(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        if resource is None:
            continue
        word = resource.option("net", "fencing") or resource.option("disk", "fencing") or "dont-care"
        lacking = [] if resource.option("handlers", "fence-peer") else ["fence-peer"]
        if not any(resource.option("handlers", name) for name in ("unfence-peer", "after-resync-target")):
            lacking.append("unfence-peer")
        if word != "dont-care" and lacking:
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="I/O stands still when the other side is lost, and nobody lets it go on"
                if "fence-peer" in lacking
                else "a side that was outdated stays so, and the next failover has nowhere to go",
                chain=f"fencing {word}; no handler {' and '.join(lacking)}",
                yaml="the templates name the handlers; render and apply them",
                commands=('handlers { fence-peer "/usr/lib/kvmha/drbd-fence-peer"; }   # see docs/drbd.md',),
            )


def _two_primaries(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        elif resource and (resource.option("net", "allow-two-primaries") or "no") == "yes":
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="both sides may write at any time, and an ordinary file system of a guest does not survive that",
                chain="allow-two-primaries yes, for good; a move needs it for seconds, and sets it then",
                yaml="drbd: options: leave allow-two-primaries out",
                commands=("net { allow-two-primaries no; }   # in the resource, then drbdadm adjust",),
            )


def _after_split(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        for name in ("after-sb-0pri", "after-sb-1pri", "after-sb-2pri"):
            word = (resource.option("net", name) if resource else None) or "disconnect"
            if word.split()[0] not in SAFE_AFTER_SPLIT:
                yield Fault(
                    subject=f"DRBD {resource.name if resource else ''}",
                    said="after a split brain DRBD throws the writes of one side away by itself, and asks nobody",
                    chain=f"{name} {word}; expected disconnect",
                    yaml=f"drbd: options: leave {name} out",
                    commands=(f"net {{ {name} disconnect; }}   # in the resource, then drbdadm adjust",),
                )


def _ping(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        if resource is None:
            continue
        interval = net_number(resource, "ping-int", PING_INTERVAL_S)
        connect = net_number(resource, "connect-int", CONNECT_S)
        limit = net_number(resource, "timeout", TIMEOUT_DS)
        if limit > interval * 10 or limit > connect * 10:
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="drbdadm refuses it, or the connection is given up between two pings",
                chain=f"timeout {limit / 10:g} s; ping-int {interval} s, connect-int {connect} s",
                yaml="replication: {timeout: 60, ping_interval: 10}",
                commands=("net { timeout 60; ping-int 10; }   # in the resource, then drbdadm adjust",),
            )


def _ping_short(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        answer = net_number(resource, "ping-timeout", PING_TIMEOUT_DS) if resource else PING_TIMEOUT_DS
        if resource and answer < 3:
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="a pause of the network that nobody else notices takes the other side for lost, and fences it",
                chain=f"ping-timeout {answer / 10:g} s; at least 0.3 s",
                yaml="replication: {ping_timeout: 5}",
                commands=("net { ping-timeout 5; }   # in the resource, then drbdadm adjust",),
            )


def _protocol(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        word = (resource.option("net", "protocol") if resource else None) or "C"
        if resource and word.upper() != "C":
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="a failover loses writes that the guest was told are on disk",
                chain=f"protocol {word}; expected C",
                yaml="replication: {protocol: C}",
                commands=("net { protocol C; }   # in the resource, then drbdadm adjust",),
            )


def _io_error(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        word = (resource.option("disk", "on-io-error") if resource else None) or ""
        if resource and word == "pass_on":
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="an error of the local disk reaches the guest, though the other side has the data",
                chain="on-io-error pass_on; expected detach",
                yaml="replication: {on_io_error: detach}",
                commands=("disk { on-io-error detach; }   # in the resource, then drbdadm adjust",),
            )


def _three_without_quorum(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        if resource and len(resource.hosts) > 2 and (resource.option("options", "quorum") or "off") == "off":
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="one of three copies that is cut off may go on by itself",
                chain=f"{len(resource.hosts)} hosts, quorum off",
                yaml="drbd: nodes of three have quorum majority in the templates; render and apply them",
                commands=("options { quorum majority; on-no-quorum suspend-io; }   # then drbdadm adjust",),
            )


def _verify(facts: Facts) -> Iterator[Seen]:
    for resource, unknown in _configured(facts):
        if unknown:
            yield unknown
        if resource and not resource.option("net", "verify-alg"):
            yield Fault(
                subject=f"DRBD {resource.name}",
                said="the two copies can never be compared, and a silent difference shows at the failover",
                chain="no verify-alg",
                yaml="replication: {verify_algorithm: sha256}",
                commands=("net { verify-alg sha256; }   # in the resource, then drbdadm adjust",),
            )


RULES = (
    Rule(id="drbd-fencing", severity=ERROR, area=AREA, needs=(CIB,), find=_fencing,
         looks_at="DRBD's fencing policy.",
         why="Only resource-and-stonith stops writes until the other side is known to be outdated or off."),
    Rule(id="drbd-handlers", severity=ERROR, area=AREA, needs=(CIB,), find=_handlers,
         looks_at="The handlers fence-peer and unfence-peer, with a fencing policy.",
         why="The policy does what its handler does."),
    Rule(id="drbd-two-primaries", severity=ERROR, area=AREA, needs=(CIB,), find=_two_primaries,
         looks_at="allow-two-primaries in the configuration.",
         why="Two primaries belong to the seconds of a move."),
    Rule(id="drbd-after-split", severity=ERROR, area=AREA, needs=(CIB,), find=_after_split,
         looks_at="after-sb-0pri, after-sb-1pri and after-sb-2pri.",
         why="Whose data is lost is for a person to choose."),
    Rule(id="drbd-ping", severity=ERROR, area=AREA, needs=(CIB,), find=_ping,
         looks_at="timeout against ping-int and connect-int.",
         why="drbd.conf(5) wants it lower than both."),
    Rule(id="drbd-ping-short", severity=WARNING, area=AREA, needs=(CIB,), find=_ping_short,
         looks_at="ping-timeout against 0.3 s.",
         why="A lost ping is a lost peer, which is fenced."),
    Rule(id="drbd-protocol", severity=ERROR, area=AREA, needs=(CIB,), find=_protocol,
         looks_at="The protocol.",
         why="Only C has written what it says."),
    Rule(id="drbd-io-error", severity=WARNING, area=AREA, needs=(CIB,), find=_io_error,
         looks_at="on-io-error.",
         why="A disk that fails is what the other copy is for."),
    Rule(id="drbd-quorum", severity=WARNING, area=AREA, needs=(CIB,), find=_three_without_quorum,
         looks_at="DRBD's quorum, with three hosts and more.",
         why="Three can tell a majority."),
    Rule(id="drbd-verify", severity=NOTE, area=AREA, needs=(CIB,), find=_verify,
         looks_at="verify-alg.",
         why="Online verification needs it."),
)  # fmt: skip
