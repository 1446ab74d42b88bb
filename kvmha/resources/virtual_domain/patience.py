"""Questions to a libvirt that may just be restarting."""

from __future__ import annotations

from kvmha.tools.libvirtd import LibvirtMissing, LibvirtUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from kvmha.resources.virtual_domain import VirtualDomain

    T = TypeVar("T")

AWAY_LIMIT = 20.0
"""Seconds in which a libvirt that restarts should be back, or a third of the action if that is less."""

RETRY_INTERVAL = 1.0
"""Seconds between two questions to a libvirt that is away."""


class Patience:
    """What one action has of it, from its begin on."""

    def __init__(self, agent: VirtualDomain) -> None:
        self._host = agent.host
        self.until = agent.host.now() + min(AWAY_LIMIT, agent.left() / 3)
        """When it ends, on the host's clock."""

    def ask(self, question: Callable[[], T]) -> T:
        """Return the answer to a question that changes nothing, asked anew while libvirt is away."""
        while True:
            try:
                return question()
            except LibvirtMissing:
                raise
            except LibvirtUnreachable:
                if self._host.now() + RETRY_INTERVAL > self.until:
                    raise
                self._host.sleep(RETRY_INTERVAL)
