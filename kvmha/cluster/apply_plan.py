"""What applying a description would do to the cluster that is there: the differences, and what they would cost."""

from __future__ import annotations

from kvmha.cluster import applied, corosync_items, merge, render
from kvmha.cluster import difference as differences
from kvmha.cluster import difference_items as kinds
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.record import Record
from kvmha.tools import cib, corosync_conf, crm_simulate, crm_verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any as Element

    from kvmha.cluster.difference import Comparison, Difference
    from kvmha.cluster.fields import ClusterDescription
    from kvmha.host import Host
    from kvmha.tools.crm_simulate import Change

ASK_LIMIT = 30.0

EMPTY = (
    '<cib validate-with="pacemaker-3.0"><configuration><crm_config/><nodes/><resources/><constraints/></configuration>'
    "<status/></cib>"
)
"""Where no cluster is, all is missing."""


class Wanted(Record):
    """What a description makes of the cluster."""

    description: ClusterDescription
    xml: str
    corosync: str

    def cib(self) -> cib.Cib:
        """Return the configuration as values."""
        return cib.read(self.xml, "the rendered CIB")


class Plan(Record):
    """Everything that would be changed, and everything that would not."""

    comparison: Comparison
    is_there: bool
    """Whether a cluster answers here at all."""
    disturbed: tuple[Change, ...]
    """What the scheduler would restart, move or stop in consequence, fence devices left out."""
    refused: tuple[str, ...]
    """What crm_verify has against the result."""
    before: str = ""
    """The CIB as it is; empty where no cluster is."""
    result: str = ""
    """The CIB as it would be, but for what the cluster then does."""


def of(description: ClusterDescription) -> Wanted:
    """Render what is wanted."""
    return Wanted(description=description, xml=render.cib_xml(description), corosync=render.corosync_conf(description))


def live_cib(host: Host) -> str | None:
    """Return the live CIB; None where no cluster runs on this node. Raises UserError where one runs that is foreign."""
    if not host.exists(corosync_conf.PATH):
        return None
    try:
        return cib.live(host, timeout=ASK_LIMIT)
    except CommandError:
        return None


def live_corosync(host: Host) -> str | None:
    """Return this node's corosync.conf, or None."""
    try:
        return host.read(corosync_conf.PATH)
    except OSError:
        return None


def refuse_foreign(host: Host, wanted: Wanted) -> None:
    """Raise UserError if this node belongs to another cluster, or is none of those that are described."""
    text = live_corosync(host)
    if text is None:
        return
    name = corosync_conf.parse(text).section("totem").value("cluster_name")
    if name and name != wanted.description.cluster:
        said = f'this node is in the cluster "{name}", and the description is of "{wanted.description.cluster}"'
        raise UserError(f"{said}; {corosync_conf.why_foreign(text, name)}")


def compare(host: Host, wanted: Wanted, live: cib.Cib, overwrite: Collection[str]) -> Comparison:
    """Return the differences between what is wanted and a configuration, corosync.conf among them."""
    both = (corosync_items.items(wanted.corosync), corosync_items.items(live_corosync(host)))
    return differences.compare(wanted.cib(), live, overwrite, corosync=both)


def make(host: Host, wanted: Wanted, overwrite: Collection[str] = ()) -> Plan:
    """Return the plan for the cluster of this node. Raises UserError, CommandError."""
    refuse_foreign(host, wanted)
    text = live_cib(host)
    comparison = compare(host, wanted, cib.read(text or EMPTY), overwrite)
    _refuse_unknown(comparison, overwrite)
    if text is None:
        return Plan(comparison=comparison, is_there=False, disturbed=(), refused=())
    root = cib.tree(text)
    edited(root, wanted, comparison, comparison.to_do())
    result = cib.text_of(root)
    refused = crm_verify.complaints(host, _without_status(root), timeout=ASK_LIMIT)
    return Plan(
        comparison=comparison,
        is_there=True,
        disturbed=() if refused else _disturbed(host, text, result),
        refused=refused,
        before=text,
        result=result,
    )


def _without_status(root: Element) -> str:
    """Return the configuration alone: that a node is about to be fenced, say, crm_verify calls a warning as well."""
    alone = cib.tree(cib.text_of(root))
    for status in alone.findall("status"):
        alone.remove(status)
    return cib.text_of(alone)


def _refuse_unknown(comparison: Comparison, overwrite: Collection[str]) -> None:
    known = {each.item.id for each in comparison.by_hand()} | {differences.ALL}
    known |= {each.item.id for each in comparison.to_do()}
    for name in overwrite:
        if name not in known:
            words = ", ".join(sorted({each.item.id for each in comparison.by_hand()})) or "nothing"
            raise UserError(f'--overwrite "{name}" names nothing that was changed by hand; there is: {words}')


def _disturbed(host: Host, before: str, result: str) -> tuple[Change, ...]:
    """Return what the changed configuration would restart, move or stop, and the present one would not.

    What only starts interrupts nobody, and what the cluster is about to do in any case is not our doing: after a run
    that was interrupted it may be in the middle of it.
    """
    devices = {each.id for text in (before, result) for each in cib.read(text).primitives() if each.is_fence_device}
    already = {(change.action, change.subject) for change in crm_simulate.simulate(host, before).disturbs()}
    return tuple(
        change
        for change in crm_simulate.simulate(host, result).disturbs()
        if change.action not in ("start", "promote")
        and change.subject.partition(":")[0] not in devices
        and (change.action, change.subject) not in already
    )


def edited(root: Element, wanted: Wanted, comparison: Comparison, chosen: Collection[Difference]) -> None:
    """Change a configuration by some of the differences, and have it remember what was applied."""
    live = cib.read(cib.text_of(root))
    own = [each for each in chosen if each.item.kind != kinds.COROSYNC]
    merge.merge(root, cib.tree(wanted.xml, "the rendered CIB"), own)
    merge.stay(root, (item.id for item in comparison.wanted))
    record = differences.record_after(comparison, live, {each.item.id for each in chosen})
    if record != applied.read(live):
        applied.write(root, record)


def editor(
    host: Host, wanted: Wanted, overwrite: Collection[str], choose: Callable[[Comparison], Collection[Difference]]
) -> Callable[[Element], None]:
    """Return the change to a configuration that makes those differences true that are there at that very moment."""

    def edit(root: Element) -> None:
        comparison = compare(host, wanted, cib.read(cib.text_of(root)), overwrite)
        edited(root, wanted, comparison, choose(comparison))

    return edit
