"""What was decided about moves, for the journal: with all that it was decided from, so that it can be made again."""

from __future__ import annotations

from kvmha import journal
from kvmha.policy import movability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy import copying
    from kvmha.policy.copying import Copying
    from kvmha.policy.draining import Plan
    from kvmha.policy.forecast import Forecast
    from kvmha.policy.migration import Preflight, View

VERDICTS = {movability.LIVE: "can move live", movability.COLD: "can move with downtime", movability.REFUSED: "cannot"}


def target(
    host: Host, view: View, found: Preflight, others: Sequence[Preflight] = (), *, asked: str = "migrate"
) -> None:
    """Write down where a guest is to go, and what was found of the other nodes; ``asked`` is who wanted to know."""
    against = [reason.said for reason in found.reasons if reason.effect != movability.ALLOWS]
    journal.record(
        host,
        "preflight",
        {"view": view},
        found,
        subject=f"{asked} {view.guest.name} {view.target}",
        said="; ".join((VERDICTS[found.verdict], *against)),
        guests=(view.guest.name,),
        alternatives=others,
    )


def forecast(host: Host, guest: str, node: str, inputs: Mapping[str, Any], found: Forecast) -> None:
    """Write down what a move will take."""
    journal.record(
        host,
        "forecast",
        inputs,
        found,
        subject=f"migrate {guest} {node}",
        said=f"{found.means}, arrives with a probability of {found.probability:.0%}: {found.chain}",
        guests=(guest,),
    )


def disks(host: Host, view: copying.View, found: Copying) -> None:
    """Write down which disks are copied, or why none is."""
    journal.record(
        host,
        "copy-disks",
        {"view": view},
        found,
        subject=f"migrate {view.guest} {view.target}",
        said="; ".join(reason.said for reason in found.reasons)
        or f"copies {', '.join(file.path for file in found.files)}",
        guests=(view.guest,),
    )


def drain(
    host: Host, node: str, inputs: Mapping[str, Any], found: Plan, *, refusals: Sequence[str], forced: bool
) -> None:
    """Write down the plan for a node, and what spoke against it."""
    goes = [f"{item.guest} to {item.target}{' with downtime' if item.is_cold else ''}" for item in found.items]
    said = "; ".join((*refusals, ", ".join(goes) or "nothing to move"))
    journal.record(
        host,
        "drain-plan",
        inputs,
        found,
        subject=f"drain {node}",
        said=said,
        guests=sorted(mover.guest for mover in inputs["movers"]),
        overridden=bool(refusals) and forced,
    )
