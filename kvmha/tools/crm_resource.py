"""crm_resource: utilization, what is remembered of a resource, and what an agent says of itself."""

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


def wait_idle(host: Host, *, timeout: float) -> None:
    """Wait until the cluster has nothing to do any more. Raises CommandError when that takes longer.

    Its exit code is then 124 (CRM_EX_TIMEOUT in Pacemaker's crm/common/results.h).
    """
    host.run(PROGRAM, "--wait", f"--timeout={int(timeout)}s", timeout=timeout + 10.0)


def refresh(host: Host, resource: str, *, timeout: float, node: str = "") -> None:
    """Have the cluster forget what it knows of a resource, and ask its agent on every node, or on one.

    Raises CommandError.
    """
    where = ("--node", node) if node else ()
    host.run(PROGRAM, "--refresh", "--resource", resource, *where, timeout=timeout)


def metadata_argv(agent: str) -> tuple[str, ...]:
    """Return the command that prints an agent's metadata, the agent written as ocf:heartbeat:IPaddr2."""
    return (PROGRAM, "--show-metadata", agent)


def parameters(host: Host, agent: str, *, timeout: float) -> frozenset[str] | None:
    """Return the names of an agent's parameters; None where it is not installed here, or says nothing readable."""
    from xml.etree import ElementTree

    done = host.run(*metadata_argv(agent), timeout=timeout, ok=None)
    if done.rc != 0:
        return None
    try:
        root = ElementTree.fromstring(done.out)
    except ElementTree.ParseError:
        return None
    return frozenset(each.get("name", "") for each in root.iterfind("parameters/parameter"))


def why_not_valid(host: Host, agent: str, params: dict[str, str], *, timeout: float) -> str | None:
    """Return what an agent says against parameters, or None; by its action validate-all, without a cluster."""
    kind, _, rest = agent.partition(":")
    provider, _, name = rest.partition(":")
    words = ["--validate", "--class", kind, "--provider", provider, "--agent", name]
    for key, value in sorted(params.items()):
        words += ["--option", f"{key}={value}"]
    done = host.run(PROGRAM, *words, timeout=timeout, ok=None)
    if done.rc == 0:
        return None
    said = [line.partition(REASON)[2].strip() for line in (done.out + done.err).splitlines() if REASON in line]
    return said[-1] if said else f"crm_resource --validate exited with {done.rc}"


REASON = "ocf-exit-reason:"
