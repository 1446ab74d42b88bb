"""Clusters with which nothing is wrong, and ways to break them by a word.

Each folder beside this file is one: its corosync.conf, its CIB, and what sbd and DRBD are told on its nodes.
"""

from __future__ import annotations

from pathlib import Path

from kvmha.cluster.facts import LIVE, of_files
from kvmha.cluster.facts.reading import ring_of
from kvmha.policy.node import Definition, LinkAddress, NodeFacts, Unit, Watchdog
from kvmha.record import Record
from kvmha.tools import corosync_conf, sbd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.cluster.facts import Facts

HERE = Path(__file__).parent
NODES = {"three": 3, "pair": 2, "ticket": 2, "device": 2, "disk": 2, "watchdog": 3, "drbd": 2}

UNITS = (
    Unit(name="corosync.service", is_installed=True, is_enabled=True),
    Unit(
        name="pacemaker.service", is_installed=True, is_enabled=True, after=("libvirtd.service",), stop_timeout_s=1800
    ),
    Unit(name="libvirtd.service", is_installed=True, is_enabled=True),
)


class Change(Record):
    """How an example is changed: texts in its files, fields of its nodes, and fields of all that is known."""

    conf: tuple[tuple[str, str], ...] = ()
    cib: tuple[tuple[str, str], ...] = ()
    drbd: tuple[tuple[str, str], ...] = ()
    sbd: tuple[tuple[str, str], ...] = ()
    booth: tuple[tuple[str, str], ...] = ()
    node: str = "n2"
    """The node that ``fields`` are about."""
    fields: dict[str, object] = {}  # noqa: RUF012 (a default that nobody changes)
    facts: Callable[[Facts], Facts] | None = None


def facts(example: str, change: Change | None = None) -> Facts:
    """Return what is known of an example, changed or as it is."""
    change = change or Change()
    folder = HERE / example
    names = [f"n{number + 1}" for number in range(NODES[example])]
    drbd = _changed(_optional(folder / "drbd.conf"), change.drbd)
    booth = _changed(_optional(folder / "booth.conf"), change.booth)
    settings = sbd.parse_settings(_changed(_optional(folder / "sbd"), change.sbd))
    conf = _changed((folder / "corosync.conf").read_text(), change.conf)
    nodes = [_node(name, drbd, settings, booth).replace(**_running(conf)) for name in names]
    if change.fields:
        nodes = [node.replace(**change.fields) if node.node == change.node else node for node in nodes]
    found = of_files(
        conf=conf,
        cib=_changed((folder / "cib.xml").read_text(), change.cib),
        nodes=tuple(nodes),
        source=LIVE,
    )
    return change.facts(found) if change.facts else found


def _optional(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _changed(text: str, changes: tuple[tuple[str, str], ...]) -> str:
    for old, new in changes:
        assert old in text, f"the example has no {old!r} to change"
        text = text.replace(old, new)
    return text


def _running(conf: str) -> dict[str, object]:
    """Return what a corosync that was started with this file tells."""
    ring = ring_of(corosync_conf.parse(conf))
    totem = ring.totem
    pings = {f"interface.{link.number}.knet_ping_timeout": link.ping_timeout for link in totem.links}
    runtime = {"token": totem.token, "consensus": totem.consensus, **pings}
    return {"runtime": runtime, "expected_votes": ring.expected_votes}


def _node(name: str, drbd: str, settings: dict[str, str], booth: str) -> NodeFacts:
    """Return a node that is set up as it should be."""
    number = name[1:]
    return NodeFacts(
        node=name,
        uname=name,
        corosync_conf="0123456789abcdef",
        is_clock_synchronised=True,
        power_key="ignore",
        units=(*UNITS, *((Unit(name="sbd.service", is_installed=True, start_timeout_s=90.0),) if settings else ())),
        addresses=(
            LinkAddress(address=f"10.77.0.1{number}", interface="br0", mtu=1500, prefix=24),
            LinkAddress(address=f"10.77.1.1{number}", interface="eth1", mtu=1500, prefix=24),
        ),
        autostarted=(),
        definitions=tuple(_definition(guest) for guest in ("web1", "web2")),
        watchdog=Watchdog(device="/dev/watchdog0", identity="iTCO_wdt", timeout_s=30) if settings else None,
        has_watchdog=bool(settings),
        sbd=settings,
        sbd_header={},
        drbd=drbd,
        booth=booth,
        memory_mib=16384,
    )


def _definition(guest: str) -> Definition:
    return Definition(
        path=f"/etc/kvmha/guests/{guest}.xml",
        name=guest,
        uuid=f"00000000-0000-0000-0000-00000000000{guest[-1]}",
        memory_mib=2048,
        digest=f"{guest}-digest",
    )
