"""The configuration that a description asks for: what cib.xml, the pcs script and the crmsh script all say.

Invariant: ``of`` is a pure function of the description, every id in it is there once, and a part refers to no part
after it.
"""

from __future__ import annotations

from kvmha.cluster.configuration import fencing, running, settings
from kvmha.cluster.configuration.parts import AlertPart, Configuration, NodePart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.fields import ClusterDescription


def of(description: ClusterDescription) -> Configuration:
    """Return all that goes into the CIB."""
    nodes = (
        NodePart(
            id=number,
            name=node.name,
            utilization=running.utilization(node.memory, node.vcpu),
            attributes=running.offers(node, description.hosts.hugepages),
        )
        for number, node in enumerate(description.nodes, 1)
    )
    return Configuration(
        properties=settings.properties(description),
        resource_defaults=settings.resource_defaults(description),
        nodes=tuple(nodes),
        parts=(
            *fencing.parts(description),
            *running.disks(description),
            *running.guests(description),
            *running.addresses(description),
            *(running.second_site(description.booth) if description.booth else ()),
        ),
        levels=fencing.levels(description),
        alerts=_alerts(description),
    )


def _alerts(description: ClusterDescription) -> tuple[AlertPart, ...]:
    return tuple(
        AlertPart(
            id=alert.name, path=alert.path, options=tuple(alert.options.items()), timeout=f"{alert.timeout}s",
            # The ids that crmsh gives, which takes none.
            recipients=tuple(
                (f"{alert.name}-recipient-{number}", value) for number, value in enumerate(alert.recipients, 1)
            ),
        )
        for alert in description.alerts
    )  # fmt: skip
