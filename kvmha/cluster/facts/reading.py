"""From texts to facts: corosync.conf, the CIB, and what nodes said of themselves."""

from __future__ import annotations

from kvmha.cluster.facts.records import (
    DRBD_AGENTS,
    FILES,
    GUEST_AGENTS,
    PRIMARY_AGENT,
    Device,
    Facts,
    GuestFacts,
    Quorum,
    Ring,
    RingNode,
    Sbd,
)
from kvmha.policy import timing
from kvmha.tools import booth_conf, corosync_conf, drbd_conf
from kvmha.tools import cib as cib_reader
from kvmha.tools.cib import is_true

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvmha.policy.guest_needs import GuestNeeds
    from kvmha.policy.node import NodeFacts
    from kvmha.tools.booth_conf import BoothConf
    from kvmha.tools.cib import Resource
    from kvmha.tools.corosync_conf import Section
    from kvmha.tools.drbd_conf import DrbdResource


def ring_of(section: Section) -> Ring:
    """Return what a corosync.conf means."""
    totem = section.section("totem")
    nodes = tuple(_ring_node(node) for node in section.section("nodelist").all("node"))
    quorum = section.section("quorum")
    numbers = sorted({number for node in nodes for number, _ in node.addresses}) or [0]
    interfaces = {interface.number("linknumber") or 0: interface for interface in totem.all("interface")}
    empty = corosync_conf.Section(name="interface")
    links = []
    for number in numbers:
        of_link = interfaces.get(number, empty)
        keys = ("knet_ping_interval", "knet_ping_timeout", "knet_pong_count")
        interval, limit, pongs = (of_link.number(key) for key in keys)
        links.append((number, interval, limit, pongs))
    is_secure = totem.is_yes("secauth")
    return Ring(
        cluster=totem.value("cluster_name"),
        nodes=nodes,
        totem=timing.totem(
            len(nodes) or 1,
            token=totem.number("token"),
            coefficient=totem.number("token_coefficient"),
            consensus=totem.number("consensus"),
            retransmits=totem.number("token_retransmits_before_loss_const"),
            join=totem.number("join"),
            links=tuple(links),
        ),
        quorum=_quorum(quorum, len(nodes)),
        transport=totem.value("transport", "knet"),
        link_mode=totem.value("link_mode", "passive"),
        # corosync.conf(5): secauth, the older switch, means aes256 and sha256.
        cipher=totem.value("crypto_cipher", "aes256" if is_secure else "none"),
        hash=totem.value("crypto_hash", "sha256" if is_secure else "none"),
        mtu=totem.number("knet_mtu") or totem.number("netmtu"),
        section=section,
    )


def _ring_node(node: Section) -> RingNode:
    addresses = [
        (int(key[4:-5]), value)
        for key, value in node.values
        if key.startswith("ring") and key.endswith("_addr") and key[4:-5].isdigit()
    ]
    votes = node.number("quorum_votes")
    return RingNode(
        name=node.value("name"),
        nodeid=node.number("nodeid"),
        addresses=tuple(addresses),
        votes=1 if votes is None else votes,
    )


def _quorum(quorum: Section, nodes: int) -> Quorum:
    device = quorum.section("device") if quorum.all("device") else None
    return Quorum(
        provider=quorum.value("provider"),
        two_node=bool(quorum.is_yes("two_node")),
        wait_for_all=quorum.is_yes("wait_for_all"),
        expected_votes=quorum.number("expected_votes"),
        last_man_standing=bool(quorum.is_yes("last_man_standing")),
        auto_tie_breaker=bool(quorum.is_yes("auto_tie_breaker")),
        allow_downscale=bool(quorum.is_yes("allow_downscale")),
        device=_device(device, nodes) if device is not None else None,
    )


def _device(section: Section, nodes: int) -> Device:
    net = section.section("net")
    algorithm = net.value("algorithm", "ffsplit")
    times = timing.QuorumDevice(
        timeout=section.number("timeout") or timing.QuorumDevice.timeout,
        sync_timeout=section.number("sync_timeout") or timing.QuorumDevice.sync_timeout,
    )
    return Device(
        host=net.value("host"),
        algorithm=algorithm,
        tls=net.value("tls", "on"),
        # Without the key, corosync-qdevice(8): the number of nodes less one.
        votes=section.number("votes") if section.value("votes") else max(nodes - 1, 0),
        times=times,
        heuristics=section.section("heuristics").value("mode", "off") != "off",
    )


def guests_of(facts: Facts) -> tuple[GuestFacts, ...]:
    """Return the guests among the resources, with what the nodes' definitions or their utilization tell of them."""
    sizes: dict[str, int] = {}
    needs: dict[str, GuestNeeds] = {}
    for node in facts.nodes:
        for definition in node.definitions or ():
            if definition.memory_mib:
                sizes.setdefault(definition.path, definition.memory_mib)
            if definition.needs is not None:
                needs.setdefault(definition.path, definition.needs)
    followers = _followers_of_drbd(facts)
    return tuple(
        GuestFacts(
            id=resource.id,
            resource=resource,
            memory_mib=sizes.get(resource.params.get("config", "")) or _utilized(resource),
            is_on_drbd=resource.id in followers,
            needs=needs.get(resource.params.get("config", "")),
        )
        for resource in facts.resources(GUEST_AGENTS)
    )


def _utilized(resource: Resource) -> int | None:
    """Return the memory that the resource's utilization names, in MiB as our agent and the shell agent write it."""
    for name in ("host_memory", "hv_memory", "memory"):
        text = resource.utilization.get(name, "")
        # No machine has a memory of more digits.
        if text.isascii() and text.isdecimal() and len(text) <= 15:
            return int(text)
    return None


def _followers_of_drbd(facts: Facts) -> set[str]:
    """Return the resources that have to be where a replica, or the right to write it, is."""
    if facts.cib is None:
        return set()
    below = set()
    for resource in facts.resources((*DRBD_AGENTS, PRIMARY_AGENT)):
        below |= {resource.id, resource.parent}
    below.discard("")
    return {each.resource for each in facts.cib.colocations if each.with_resource in below}


def of_files(
    *,
    conf: str | None = None,
    cib: str | None = None,
    nodes: tuple[NodeFacts, ...] = (),
    agents: Mapping[str, Mapping[str, str]] | None = None,
    source: str = FILES,
    cib_source: str = "the CIB",
) -> Facts:
    """Return the facts that texts give: a corosync.conf, a CIB, and what nodes said of themselves.

    Raises CorosyncConfError, DrbdConfError, and UserError for what is no CIB, which it calls ``cib_source``.
    """
    facts = Facts(
        source=source,
        ring=None if conf is None else ring_of(corosync_conf.parse(conf)),
        cib=None if cib is None else cib_reader.read(cib, cib_source),
        nodes=nodes,
        agents=agents or {},
        drbd=_drbd_of(nodes),
        booth=_booth_of(nodes),
        node_memory={node.node: node.memory_mib for node in nodes if node.memory_mib},
    )
    uses_sbd = _uses_sbd(facts)
    # Its settings lie on many a node where it was installed and nobody wanted it.
    facts = facts.replace(uses_sbd=uses_sbd, sbd=_sbd_of(nodes) if uses_sbd else None)
    return facts.replace(guests=guests_of(facts))


def _booth_of(nodes: tuple[NodeFacts, ...]) -> BoothConf | None:
    """Return booth's configuration as the first node that has one tells it; they are the same at all sites."""
    texts = [node.booth for node in nodes if node.booth is not None]
    return booth_conf.parse(next((text for text in texts if text), "")) if texts else None


def _drbd_of(nodes: tuple[NodeFacts, ...]) -> tuple[DrbdResource, ...] | None:
    texts = [node.drbd for node in nodes if node.drbd is not None]
    if not texts:
        return None
    found = {resource.name: resource for text in texts for resource in drbd_conf.parse(text)}
    return tuple(found.values())


def _uses_sbd(facts: Facts) -> bool:
    """Tell whether sbd fences here: Pacemaker has seen it run, or there is a device or a time for it."""
    devices = any(device.agent in ("fence_sbd", "external/sbd") for device in facts.fence_devices)
    watched = is_true(facts.property_("have-watchdog")) or facts.seconds("stonith-watchdog-timeout", 0.0) != 0.0
    runs = any(unit.is_active for node in facts.nodes for unit in node.units or () if unit.name == "sbd.service")
    return devices or watched or runs


def _sbd_of(nodes: tuple[NodeFacts, ...]) -> Sbd | None:
    """Return sbd's settings as the first node that has any tells them; a rule compares the others."""
    for node in nodes:
        if node.sbd:
            return sbd_from(node.sbd, node.sbd_header or {})
    return None


def sbd_from(settings: Mapping[str, str], header: Mapping[str, int]) -> Sbd:
    """Return what sbd's settings mean; what the disk says goes before what the file says (sbd(8))."""
    devices = tuple(part.strip() for part in settings.get("SBD_DEVICE", "").split(";") if part.strip())
    text = settings.get("SBD_WATCHDOG_TIMEOUT", "")
    watchdog = (
        float(header["watchdog"]) if "watchdog" in header else float(text) if text.isdigit() else timing.SBD_WATCHDOG_S
    )
    msgwait = timing.msgwait_s(watchdog, header.get("msgwait"))
    return Sbd(
        devices=devices,
        watchdog_s=watchdog,
        msgwait_s=msgwait,
        delay_start_s=_delay_start(settings.get("SBD_DELAY_START", "no"), watchdog, msgwait, is_diskless=not devices),
    )


def _delay_start(word: str, watchdog: float, msgwait: float, *, is_diskless: bool) -> float | None:
    """Return what SBD_DELAY_START means: yes or 1 is msgwait, or twice the watchdog timeout without disks."""
    word = word.strip().lower()
    if word in ("yes", "y", "true", "on", "1"):
        return 2 * watchdog if is_diskless else msgwait
    return float(word) if word.isdigit() and word != "0" else None
