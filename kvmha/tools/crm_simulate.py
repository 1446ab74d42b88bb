"""crm_simulate: what the scheduler would do with a configuration, without doing it."""

from __future__ import annotations

from kvmha.errors import UserError
from kvmha.host import CommandError, CommandFailed
from kvmha.policy.plan import Action
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from xml.etree.ElementTree import Element

    from kvmha.host import Completed, Host

ARGV = ("crm_simulate", "--simulate", "--xml-pipe", "--output-as=xml")
"""Take a CIB from standard input and run the transition on paper (crm_simulate(8))."""

STATE_ARGV = ("crm_simulate", "--xml-pipe", "--output-as=xml")
"""Only read the CIB and say what it shows."""

EVENT = "crm_event"
"""In a transition graph, the element that stands for something that the cluster itself does, such as a fencing."""

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
    is_blocked: bool = False
    """Planned, and not possible: fencing or quorum is missing for it."""


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
    graph: tuple[Action, ...] = ()
    """Filled by ``transition`` only."""
    text: str = ""
    """All that was printed, for its part revised_cluster_status."""
    took_s: float = 0.0
    """How long the scheduler itself took. Filled by ``transition`` only."""

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


def state(host: Host, cib: str, *, folder: str = "", timeout: float = 60.0) -> str:
    """Return, as XML, how the scheduler reads the status section of a CIB, in its part cluster_status.

    ``folder`` is where its draft goes (CIB_shadow_dir); empty for Pacemaker's own place. Raises CommandError, and
    UserError for a CIB that this release of Pacemaker does not take.
    """
    return _run(host, STATE_ARGV, cib, timeout=timeout, env=_drafts(folder)).out


def transition(host: Host, cib: str, *, folder: str, more: tuple[str, ...] = (), timeout: float = 120.0) -> Transition:
    """Return what the scheduler would do, with the graph of it; the CIB after it is in ``folder``/after.xml.

    ``more`` are options such as --op-inject. Raises CommandError, and UserError as ``state`` does.
    """
    graph, after = f"{folder}/{GRAPH}", f"{folder}/{AFTER}"
    argv = (*ARGV, "--save-graph", graph, "--save-output", after, *more)
    began = host.now()
    done = _run(host, argv, cib, timeout=timeout, env=_drafts(folder), ok=(0, INVALID))
    took = host.now() - began
    found = parse(done.out)
    if found is None:
        raise CommandError(argv, "printed no result that can be read")
    actions = parse_graph(host.read_bytes(graph, GRAPH_LIMIT).decode())
    return found.replace(graph=actions, text=done.out, took_s=took)


INVALID = 1
"""The exit code where a plan could not be carried out to its end, such as a stop on a node that cannot be fenced; the
rest of it was, and is in the result (CRM_EX_ERROR)."""

REFUSED = (65, 78)
"""The exit codes for a CIB that matches no schema, of its own version or of a later one that it could be upgraded to
(CRM_EX_DATAERR, CRM_EX_CONFIG)."""

GRAPH, AFTER = "graph.xml", "after.xml"
GRAPH_LIMIT = 512 * 1024 * 1024


def _run(host: Host, argv: tuple[str, ...], cib: str, **more: Any) -> Completed:
    try:
        return host.run(*argv, given=cib, **more)
    except CommandFailed as error:
        if error.done.rc not in REFUSED:
            raise
        version = cib.partition("validate-with=")[2][:40].split('"')
        named = f" (validate-with={version[1]})" if len(version) > 2 else ""
        raise UserError(f"Pacemaker's scheduler on this machine does not take this CIB{named}: {error}") from None


def _drafts(folder: str) -> dict[str, str]:
    return {"CIB_shadow_dir": folder} if folder else {}


def parse_graph(xml: str) -> tuple[Action, ...]:
    """Read a transition graph, in the order of the ids. Raises CommandError for what is none."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise CommandError(("crm_simulate",), f"wrote a graph that cannot be read: {error}") from None
    found = []
    for synapse in root.iter("synapse"):
        after = tuple(int(each.get("id", "0")) for each in synapse.iterfind("inputs/trigger/*"))
        found += [_action(each, after) for each in synapse.iterfind("action_set/*")]
    return tuple(sorted(found, key=lambda action: action.id))


def _action(element: Element, after: tuple[int, ...]) -> Action:
    # The key is RESOURCE_OPERATION_INTERVAL, and all three may have underscores but the last.
    key, operation = element.get("operation_key", ""), element.get("operation", "")
    rest, _, interval = key.rpartition("_")
    primitive, given = element.find("primitive"), element.find("attributes")
    if primitive is not None:
        # The instance of a clone is named by its long id.
        resource = primitive.get("long-id", "") or primitive.get("id", "")
        resource = resource.rpartition(":")[2] if not resource.rpartition(":")[2].isdigit() else resource
    else:
        resource = rest[: -len(operation) - 1] if rest.endswith(f"_{operation}") else ""
    node = element.get("on_node", "") or ("" if given is None else given.get("CRM_meta_on_node", ""))
    return Action(
        id=int(element.get("id", "0")),
        operation=operation,
        resource=resource,
        node=node,
        interval_ms=int(interval) if interval.isdigit() else 0,
        is_real=element.tag in ("rsc_op", EVENT),
        after=after,
    )


def parse(xml: str) -> Transition | None:
    """Read crm_simulate's XML; None for a text that is none."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(_without_states(xml))
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


def _without_states(xml: str) -> str:
    """Leave out how the cluster is before and after, of a large one nearly all of it, for whoever reads the rest."""
    for part in ("cluster_status", "revised_cluster_status"):
        begin, end = xml.find(f"<{part}>"), xml.find(f"</{part}>")
        if 0 <= begin < end:
            xml = xml[:begin] + xml[end + len(part) + 3 :]
    return xml


def _change(element: Element) -> Change:
    if element.tag == "node_action":
        action, subject, source = element.get("task", ""), element.get("node", ""), ""
    else:
        action, subject = element.get("action", ""), element.get("resource", "")
        source = element.get("source", element.get("node", ""))
    return Change(
        action=action,
        subject=subject,
        source=source,
        target=element.get("dest", ""),
        reason=element.get("reason", ""),
        is_blocked=element.get("blocked") == "true",
    )
