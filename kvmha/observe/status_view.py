"""The status as tables for a terminal, as narrow as 80 columns."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from kvmha.policy.protection import BAD, REDUCED, UNKNOWN, WELL
from kvmha.policy.snapshot import ADDRESS, FENCING, GUEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.protection import GuestRecovery, Status
    from kvmha.policy.snapshot import Snapshot

STYLES = {WELL: "green", REDUCED: "yellow", BAD: "bold red", UNKNOWN: "yellow"}


def view(snapshot: Snapshot, status: Status, *, taken: str) -> Group:
    """Return all of it; ``taken`` is when it was looked at."""
    head = Text.assemble(
        (snapshot.cluster or "cluster", "bold"), "  ", (status.level, STYLES[status.level]), f"  {taken}"
    )
    unread = [Text(f"not understood: {said}", style=STYLES[UNKNOWN]) for said in snapshot.unread]
    return Group(head, "", _points(status), "", _nodes(snapshot), "", _guests(status), *unread)


def _points(status: Status) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for point in status.points:
        table.add_row(point.name, Text(point.level, style=STYLES[point.level]), Text(point.said))
    return table


def _nodes(snapshot: Snapshot) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("node", "state", "runs"):
        table.add_column(name, overflow="fold")
    for node in snapshot.nodes:
        runs = [each.name for each in snapshot.on(node.name) if each.kind in (GUEST, ADDRESS)]
        others = sum(each.kind not in (GUEST, ADDRESS, FENCING) for each in snapshot.on(node.name))
        more = [f"{others} more"] if others else []
        words = [word for word, holds in (
            ("unclean", node.is_unclean), ("offline", not node.is_online), ("standby", node.is_standby),
            ("maintenance", node.is_maintenance), ("pending", node.is_pending),
        ) if holds]  # fmt: skip
        style = STYLES[BAD] if node.is_unclean else STYLES[REDUCED] if words else STYLES[WELL]
        table.add_row(node.name, Text(", ".join(words) or "online", style=style), Text(", ".join((*runs, *more))))
    return table


def _guests(status: Status) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("guest", "on", "state", "back after", "promised"):
        table.add_column(name, overflow="fold")
    for guest in status.guests:
        style = STYLES[WELL] if guest.state == "running" else STYLES[REDUCED]
        limit = f"{guest.limit_s:g} s" if guest.limit_s is not None else "-"
        table.add_row(guest.name, " ".join(guest.nodes) or "-", Text(guest.state, style=style), _back(guest), limit)
    return table


def _back(guest: GuestRecovery) -> Text:
    if guest.usual_s is None:
        return Text(guest.said or "-", style=STYLES[REDUCED] if guest.said else "")
    style = "" if guest.is_within is None else STYLES[WELL] if guest.is_within else STYLES[BAD]
    return Text(f"{guest.usual_s:.1f} s {guest.said}", style=style)
