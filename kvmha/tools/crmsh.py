"""crmsh, as far as it is asked for (crm(8)). Checked with crmsh 4.4.0 and 5.0.0."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PROGRAM = "crm"


def is_there(host: Host) -> bool:
    """Tell whether crmsh is installed here."""
    return host.which(PROGRAM) is not None
