"""An observer outside Pacemaker's control: it tells when a guest, or a network card, is active twice, and does nothing.

It believes no cluster: each node says which QEMU processes execute there, and every node compares what all of them
say. A node that cannot be reached says nothing, which proves nothing either way; what two reachable nodes show within
the same seconds does.
"""

from __future__ import annotations

from kvmha import alert
from kvmha.alert import Alert
from kvmha.drill.reach import Reach, Streams
from kvmha.drill.watch import Known, Places
from kvmha.errors import UserError
from kvmha.tools import corosync_conf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.drill.records import Breach
    from kvmha.host import Host

INTERVAL_S = 1.0
"""From one look of a node at itself to the next. Two of each of two nodes prove it, within three or four seconds."""

CLOCKS_S = 600.0
"""How often clocks are measured anew: one that was set backwards would else stay wrong."""

ALERT_S = 30.0


def nodes(host: Host) -> tuple[str, ...]:
    """Return the nodes of the cluster, as corosync.conf has them. Raises UserError."""
    try:
        found = corosync_conf.read(host).section("nodelist").all("node")
    except (OSError, corosync_conf.CorosyncConfError) as error:
        raise UserError(f"{corosync_conf.PATH} cannot be read ({error}); run it on a node of the cluster") from None
    return tuple(node.value("name") for node in found)


def observe(host: Host, reach: Reach, names: tuple[str, ...], *, seconds: float | None,
            tell: Callable[[Breach], None]) -> int:  # fmt: skip
    """Observe for so long, or for ever; tell what is active twice, and return how often that was."""
    words = ("kvmha", "drill", "at-node", "watch", "--interval", f"{INTERVAL_S:g}")
    until = None if seconds is None else host.now() + seconds
    measured = host.now()
    count = 0
    with Streams(reach, names, *words) as streams:
        places = Places(streams, Known(guests={}, names={}, addresses={}))
        while until is None or host.now() < until:
            for breach in places.tick(INTERVAL_S):
                count += 1
                tell(breach)
            if host.now() - measured > CLOCKS_S:
                measured = host.now()
                streams.offsets.clear()
    return count


def alarm(breach: Breach) -> Alert:
    """Return what people are told."""
    return Alert(
        kind="double-run", subject=breach.subject, facts={"rule": breach.rule},
        sentence=f"{breach.said}. If both write to one disk, what is on it is being destroyed: stop one of them now",
    )  # fmt: skip


def send(host: Host, breach: Breach) -> None:
    """Tell people."""
    alert.send(host, alarm(breach), seconds=ALERT_S)
