"""crm_resource, as far as it keeps the utilization attributes of a resource."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PROGRAM = "crm_resource"


def read_argv(resource: str, name: str) -> tuple[str, ...]:
    """Return the command that prints a utilization attribute."""
    return (PROGRAM, "--quiet", "--resource", resource, "--utilization", "--get-parameter", name)


def write_argv(resource: str, name: str, value: int) -> tuple[str, ...]:
    """Return the command that sets a utilization attribute."""
    words = ("--set-parameter", name, "--parameter-value", str(value))
    return (PROGRAM, "--quiet", "--resource", resource, "--utilization", *words)


def keep_utilization(host: Host, resource: str, name: str, value: int, timeout: float) -> bool:
    """Set a utilization attribute unless it has that value already; tell whether it was set. Raises CommandError.

    Every write of the configuration has the scheduler think anew, and needs quorum.
    """
    # An attribute that is not there is 0 with a sentence instead of a value in Pacemaker 2.1, and 105 in others; what
    # is not the value is set, and a resource that is not there then fails.
    seen = host.run(*read_argv(resource, name), timeout=timeout, ok=None)
    if seen.rc == 0 and seen.out.strip() == str(value):
        return False
    host.run(*write_argv(resource, name, value), timeout=timeout)
    return True
