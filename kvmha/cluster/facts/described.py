"""The facts of a cluster.yaml: what is rendered from it, read by the same readers, and what only it says."""

from __future__ import annotations

from kvmha.cluster import render
from kvmha.cluster.configuration.running import offers
from kvmha.cluster.facts.reading import of_files, sbd_from
from kvmha.cluster.facts.records import DESCRIPTION, Facts, GuestFacts, Sbd
from kvmha.tools import booth_conf, drbd_conf, sbd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.fields import ClusterDescription, Guest


DRBD_FILES = (".res", ".conf")


def of_description(wanted: ClusterDescription) -> Facts:
    """Return the facts of a description. Raises what rendering and reading raise."""
    files = render.render(wanted)
    facts = of_files(conf=files["corosync.conf"], cib=files["cib.xml"], source=DESCRIPTION)
    return with_description(facts, wanted).replace(
        drbd=drbd_conf.parse(_drbd(files)),
        booth=booth_conf.parse(files.get("booth/booth.conf", "")),
        sbd=_sbd(wanted, files),
        uses_sbd=wanted.sbd is not None,
    )


def _drbd(files: dict[str, str]) -> str:
    """Return the rendered configuration of DRBD as one text."""
    return "\n".join(text for name, text in files.items() if name.startswith("drbd/") and name.endswith(DRBD_FILES))


def with_description(facts: Facts, wanted: ClusterDescription) -> Facts:
    """Return facts with what only the description says: how large guests are, what they do, what was promised."""
    said = {guest.name: guest for guest in wanted.guests}
    memory = {node.name: node.memory for node in wanted.nodes if node.memory is not None}
    return facts.replace(
        guests=tuple(_guest(guest, said[guest.id]) if guest.id in said else guest for guest in facts.guests),
        bandwidth_mib_s=float(wanted.migration.bandwidth),
        node_memory={**facts.node_memory, **memory},
        node_offers={node.name: dict(offers(node, wanted.hosts.hugepages)) for node in wanted.nodes},
    )


def _guest(guest: GuestFacts, said: Guest) -> GuestFacts:
    return guest.replace(
        memory_mib=said.memory or guest.memory_mib,
        dirty_mib_s=None if said.dirty_rate is None else float(said.dirty_rate),
        shutdown_s=float(said.shutdown_time),
        downtime_ms=said.downtime_limit,
        recovery_limit_s=None if said.recovery_limit is None else float(said.recovery_limit),
        boot_s=None if said.boot_time is None else float(said.boot_time),
    )


def _sbd(wanted: ClusterDescription, files: dict[str, str]) -> Sbd | None:
    """Return sbd's settings as they are rendered for the nodes, and its times as they will be written to its disks."""
    if wanted.sbd is None:
        return None
    header = {"watchdog": wanted.sbd.watchdog_timeout}
    header.update({} if wanted.sbd.msgwait is None else {"msgwait": wanted.sbd.msgwait})
    return sbd_from(sbd.parse_settings(files["sbd/sbd"]), header).replace(module=wanted.sbd.module or "")
