"""crm_simulate: what the scheduler would do with a configuration, without doing it."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from kvmha.host import Host

ARGV = ("crm_simulate", "--simulate", "--xml-pipe", "--output-as=xml")
"""Take a CIB from standard input and run the transition on paper (crm_simulate(8))."""

DISTURBING = ("stop", "demote", "restart", "recover", "move", "migrate", "start", "promote")
"""Changes in the summary that interrupt a service, or begin one; reload is none."""


class Change(Record):
    """One line of the transition's summary: what becomes of a resource or a node."""

    action: str
    """move, migrate, restart, recover, stop, start, promote, demote, reload...; for a node what crm_simulate says."""
    subject: str
    source: str
    target: str
    reason: str


class Step(Record):
    """One operation that would be executed on a node."""

    operation: str
    resource: str
    node: str
    interval: str


class Transition(Record):
    """All that would happen."""

    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    fenced: tuple[str, ...]

    def disturbs(self, *subjects: str) -> tuple[Change, ...]:
        """Return the changes that interrupt, begin or move a service, of these resources or, none named, of all."""
        chosen = (change for change in self.changes if not subjects or change.subject.partition(":")[0] in subjects)
        return tuple(change for change in chosen if change.action in DISTURBING)


def simulate(host: Host, cib: str, *, timeout: float = 60.0) -> Transition:
    """Return what the scheduler would do with a CIB that holds the state of the nodes. Raises CommandError."""
    done = host.run(*ARGV, given=cib, timeout=timeout)
    found = parse(done.out)
    if found is None:
        raise CommandError(ARGV, "printed no result that can be read")
    return found


def parse(xml: str) -> Transition | None:
    """Read crm_simulate's XML; None for a text that is none."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    # What it logs at the same time may leave several results in one document; the first is that of the simulation.
    actions, transition = root.find("actions"), root.find("transition")
    if transition is None:
        return None
    return Transition(
        changes=tuple(_change(each) for each in ([] if actions is None else actions)),
        steps=tuple(
            Step(
                operation=each.get("op", ""),
                resource=each.get("resource", ""),
                node=each.get("node", ""),
                interval=each.get("interval", ""),
            )
            for each in transition.iter("rsc_action")
        ),
        fenced=tuple(each.get("target", "") for each in transition.iter("fencing_action")),
    )


def _change(element: Element) -> Change:
    if element.tag == "node_action":
        action, subject, source = element.get("task", ""), element.get("node", ""), ""
    else:
        action, subject = element.get("action", ""), element.get("resource", "")
        source = element.get("source", element.get("node", ""))
    return Change(
        action=action, subject=subject, source=source, target=element.get("dest", ""), reason=element.get("reason", "")
    )
