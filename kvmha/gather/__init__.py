"""What this node says of itself, put together from the tools.

Invariant: what cannot be looked at is None and has its reason; one thing that hangs or is missing takes nothing else
with it.
"""

from __future__ import annotations

import hashlib

from kvmha.host import CommandError
from kvmha.policy.node import Definition, NodeFacts
from kvmha.tools import (
    autostart,
    booth_conf,
    busctl,
    corosync_cmapctl,
    corosync_conf,
    domain_host,
    domain_xml,
    drbd_conf,
    ip_address,
    memory,
    quorumtool,
    sbd,
    stonith_admin,
    systemctl,
    timedatectl,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from kvmha.host import Host

TIMEOUT = 20.0
"""Seconds for one command; a busy node is slow, and a stuck one shall not hold up the rest for long."""

UNITS = (
    "corosync.service", "pacemaker.service", "sbd.service", "libvirt-guests.service", "libvirtd.service",
    "virtqemud.service",
)  # fmt: skip

DEFAULT_PAGE_KIB = 2048
"""The size of huge pages where a definition names none: that of most hosts."""

CIB_COPY = "/var/lib/pacemaker/cib/cib.xml"
"""The configuration as Pacemaker last wrote it to disk, for a node on which it does not run."""


def node_facts(host: Host, node: str, definitions: Iterable[str]) -> NodeFacts:
    """Return all that this node, which the cluster calls ``node``, can tell; ``definitions`` are paths of guests'."""
    why: dict[str, str] = {}
    settings = _tried(why, "sbd", lambda: sbd.settings(host))
    found = _tried(why, "has_watchdog", lambda: sbd.watchdog(host))
    paths = tuple(dict.fromkeys(definitions))
    return NodeFacts(
        node=node,
        uname=_tried(why, "uname", host.name),
        corosync_conf=_tried(why, "corosync_conf", lambda: _digest(host.read_bytes(corosync_conf.PATH))),
        runtime=_tried(why, "runtime", lambda: corosync_cmapctl.runtime(host, timeout=TIMEOUT)),
        expected_votes=_tried(why, "expected_votes", lambda: quorumtool.look(host, timeout=TIMEOUT).expected),
        is_clock_synchronised=_tried(
            why, "is_clock_synchronised", lambda: timedatectl.is_synchronised(host, timeout=TIMEOUT)
        ),
        power_key=_tried(why, "power_key", lambda: busctl.power_key(host, timeout=TIMEOUT)),
        units=_tried(why, "units", lambda: systemctl.show(host, *UNITS, timeout=TIMEOUT)),
        addresses=_tried(why, "addresses", lambda: ip_address.look(host, timeout=TIMEOUT)),
        autostarted=autostart.names(host),
        definitions=tuple(definition(host, path) for path in paths),
        watchdog=found,
        has_watchdog=None if "has_watchdog" in why else found is not None,
        sbd=settings,
        sbd_header=_tried(why, "sbd_header", lambda: _header(host, settings or {})),
        drbd=_tried(why, "drbd", lambda: _drbd(host)),
        booth=_tried(why, "booth", lambda: booth_conf.read(host)),
        memory_mib=_tried(why, "memory_mib", lambda: _memory_mib(host)),
        why_unknown=why,
    )


def agent_defaults(host: Host, agents: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the defaults that fence agents name in their metadata; those that cannot be asked are missing."""
    found = {}
    for agent in sorted(set(agents)):
        defaults = _tried({}, agent, lambda agent=agent: stonith_admin.defaults(host, agent, timeout=TIMEOUT))
        if defaults is not None:
            found[agent] = defaults
    return found


def _tried(why: dict[str, str], field: str, look: Callable[..., Any]) -> Any:
    """Return what a look gives; None, and why, where it gives nothing."""
    try:
        return look()
    except CommandError as error:
        why[field] = f"{field}: {error}"
    except OSError as error:
        why[field] = f"{field}: {error.filename or ''} {error.strerror}"
    except ValueError as error:
        why[field] = f"{field}: {error}"
    return None


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def definition(host: Host, path: str) -> Definition:
    """Return what a guest's definition on this node says, or why it cannot be read."""
    try:
        text = host.read_bytes(path)
        identity = domain_xml.parse_identity(text)
        needs = domain_xml.parse_needs(text.decode(errors="replace"))
        named = domain_host.parse(text.decode(errors="replace"))
    except OSError as error:
        return Definition(path=path, error=f"{path}: {error.strerror}")
    except ValueError as error:
        return Definition(path=path, error=f"{path}: {error}")
    size = needs.memory_kib + sum(needs.huge_pages.values())
    return Definition(
        path=path, name=identity.name, uuid=identity.uuid, memory_mib=size // 1024 or None, digest=_digest(text),
        needs=named.replace(
            huge_pages={str(page or DEFAULT_PAGE_KIB): kib // 1024 for page, kib in sorted(needs.huge_pages.items())}
        ),
    )  # fmt: skip


def _header(host: Host, settings: dict[str, str]) -> dict[str, int]:
    device = settings.get("SBD_DEVICE", "").split(";")[0].strip()
    if not device:
        return {}
    return sbd.parse_dump(host.run(*sbd.dump_argv(device), timeout=TIMEOUT).out)


def _drbd(host: Host) -> str:
    return drbd_conf.dump(host, timeout=TIMEOUT) if host.which("drbdadm") else ""


def _memory_mib(host: Host) -> int | None:
    total = memory.parse_meminfo(host.read(memory.MEMINFO)).get("MemTotal")
    return None if total is None else total // 1024
