"""What is known of a guest that runs for as long as it does: a note in its metadata, and its last dirty rate."""

from __future__ import annotations

from kvmha.tools.libvirtd.connection import Connection, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.policy.model import GuestIdentity

URI = "urn:kvmha:moves:1"
KEY = "kvmha"
ELEMENT = "moves"

NOTE_LIMIT = 5.0
"""Seconds for something that nothing depends on."""


class GuestNotes(Connection):
    """Notes about guests."""

    def note(self, guest: GuestIdentity) -> str:
        """Return what was noted of a guest that runs; nothing where nothing was."""
        from xml.etree import ElementTree

        def ask(libvirt: Any, connection: Any) -> str:
            domain = lookup(libvirt, connection, guest)
            if domain is None:
                return ""
            try:
                kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
                return str(domain.metadata(kind, URI, libvirt.VIR_DOMAIN_AFFECT_LIVE))
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                    return ""
                raise

        found = self._call(ask, limit=NOTE_LIMIT)
        return (ElementTree.fromstring(found).text or "") if found else ""

    def set_note(self, guest: GuestIdentity, text: str) -> None:
        """Note something of a guest for as long as it runs, wherever it goes; it is no part of what it starts from."""
        from xml.sax.saxutils import escape

        def act(libvirt: Any, connection: Any) -> None:
            domain = lookup(libvirt, connection, guest)
            if domain is not None:
                kind, where = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_LIVE
                domain.setMetadata(kind, f"<{ELEMENT}>{escape(text)}</{ELEMENT}>", KEY, URI, where)

        self._call(act, limit=NOTE_LIMIT)

    def last_dirty_mib_s(self, guest: GuestIdentity, within: float) -> float | None:
        """Return how fast a guest wrote when that was measured last; None where that is older than some seconds."""
        import time

        def ask(libvirt: Any, connection: Any) -> float | None:
            domain = lookup(libvirt, connection, guest)
            if domain is None:
                return None
            found = connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE, 0)
            return dirty_of(
                found[0][1] if found else {}, libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED, time.monotonic() - within
            )

        return self._call(ask, limit=NOTE_LIMIT)


def dirty_of(stats: dict[str, Any], measured: int, since: float) -> float | None:
    """Read the answer; its moment is of the clock that never steps (QEMU's QEMU_CLOCK_REALTIME), in whole seconds."""
    if stats.get("dirtyrate.calc_status") != measured or stats.get("dirtyrate.calc_start_time", 0) < since:
        return None
    return float(stats.get("dirtyrate.megabytes_per_second", 0))
