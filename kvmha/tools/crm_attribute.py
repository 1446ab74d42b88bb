"""crm_attribute: promotion scores and other transient attributes of this node, and permanent ones of any."""

from __future__ import annotations

from kvmha.host import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PROGRAM = "crm_attribute"

NO_SUCH = 105
"""The exit code where the attribute is not there (CRM_EX_NOSUCH in Pacemaker's crm/common/results.h)."""

NO_CLUSTER = 102
"""The exit code where no cluster answers (CRM_EX_DISCONNECT, the same file)."""


class Attribute:
    """One transient attribute of this node: it goes when the node leaves the cluster."""

    def __init__(self, *words: str) -> None:
        self.words = words

    @classmethod
    def promotion(cls, resource: str) -> Attribute:
        """Return the promotion score of a promotable resource, by the resource's id in the cluster."""
        return cls(f"--promotion={resource.partition(':')[0]}")

    @classmethod
    def named(cls, name: str) -> Attribute:
        """Return an attribute by its own name."""
        return cls("--name", name, "--lifetime", "reboot")

    def read_argv(self) -> tuple[str, ...]:
        """Return the command that prints the value."""
        return (PROGRAM, *self.words, "--query", "--quiet")

    def write_argv(self, value: str) -> tuple[str, ...]:
        """Return the command that sets the value; an empty one takes the attribute away."""
        return (PROGRAM, *self.words, *(("--update", value) if value else ("--delete",)))

    def read(self, host: Host, *, timeout: float) -> str:
        """Return the value, empty where there is none. Raises CommandError."""
        done = host.run(*self.read_argv(), timeout=timeout, ok=(0, NO_SUCH))
        return done.out.strip() if done.rc == 0 else ""

    def write(self, host: Host, value: str, *, timeout: float) -> None:
        """Set the value, or take the attribute away. Raises CommandError."""
        # To delete what is not there is 0 in Pacemaker 2.1 and 105 in others.
        host.run(*self.write_argv(value), timeout=timeout, ok=(0,) if value else (0, NO_SUCH))


def is_clusterless(error: CommandError) -> bool:
    """Tell from a failure of crm_attribute that there is no cluster on this node, and so nobody who wants the value."""
    done = getattr(error, "done", None)
    return done is not None and done.rc == NO_CLUSTER


def node_argv(node: str, name: str, value: str) -> tuple[str, ...]:
    """Return the command that sets a permanent attribute of a node."""
    return (PROGRAM, "--node", node, "--name", name, "--update", value)


def standby_argv(node: str, *, is_on: bool) -> tuple[str, ...]:
    """Return the command that puts a node into standby, or ends that (crm_attribute(8))."""
    return (PROGRAM, "--node", node, "--name", "standby", *(("--update", "on") if is_on else ("--delete",)))
