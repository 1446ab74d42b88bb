"""Properties and defaults of the cluster."""

from __future__ import annotations

from kvmha.cluster.lint.rule import CIB, ERROR, NODES, NOTE, RING, WARNING, Fault, Rule, Unknown, each_node, seconds
from kvmha.tools.cib import is_true, milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.lint.rule import Seen

AREA = "properties"

ESCALATION_S, DC_DEADTIME_S = 1200.0, 20.0
"""Pacemaker's defaults of shutdown-escalation and dc-deadtime."""

BUSY_LOAD = 1.0
"""The share of the processors that a host of guests uses any day; Pacemaker's own limit is 80 %."""


def _maintenance(facts: Facts) -> Iterator[Seen]:
    if is_true(facts.property_("maintenance-mode", "false")):
        yield Fault(
            subject="maintenance-mode",
            said="nothing is watched and nothing is recovered",
            chain="maintenance-mode=true",
            commands=("pcs property set maintenance-mode=false",),
        )


def _stop_all(facts: Facts) -> Iterator[Seen]:
    if is_true(facts.property_("stop-all-resources", "false")):
        yield Fault(
            subject="stop-all-resources",
            said="no guest runs",
            chain="stop-all-resources=true",
            commands=("pcs property set stop-all-resources=false",),
        )


def _no_probes(facts: Facts) -> Iterator[Seen]:
    if not is_true(facts.property_("enable-startup-probes", "true")):
        yield Fault(
            subject="enable-startup-probes",
            said="a guest that runs already on a node that joins is not seen, and is started a second time",
            chain="enable-startup-probes=false",
            commands=("pcs property set enable-startup-probes=true",),
        )


def _migration_limit(facts: Facts) -> Iterator[Seen]:
    word = facts.property_("migration-limit", "-1")
    movable = [guest for guest in facts.guests if guest.is_movable]
    if word.startswith("-") and len(movable) > 1:
        yield Fault(
            subject="migration-limit",
            said=f"all {len(movable)} guests of a node move at once, share the network, and may be late together",
            chain=f"migration-limit {word}; {len(movable)} guests with allow-migrate",
            yaml="migration: {limit: 2}",
            commands=("pcs property set migration-limit=2",),
        )


def _start_fatal(facts: Facts) -> Iterator[Seen]:
    if is_true(facts.property_("start-failure-is-fatal", "true")) and facts.guests:
        yield Fault(
            subject="start-failure-is-fatal",
            said="one failed start, as while libvirtd restarts, bans a guest from a node until somebody cleans up",
            chain="start-failure-is-fatal=true, which is the default",
            yaml="the templates set it; render and apply them",
            commands=("pcs property set start-failure-is-fatal=false",),
        )


def _threshold(facts: Facts) -> Iterator[Seen]:
    if is_true(facts.property_("start-failure-is-fatal", "true")):
        return
    for guest in facts.guests:
        text = guest.resource.meta.get("migration-threshold", "")
        if text in ("", "0", "INFINITY"):
            yield Fault(
                subject=guest.id,
                said="a start that fails on one node is tried there for ever, and never on another one",
                chain=f"start-failure-is-fatal=false; migration-threshold {text or 'not set'}",
                yaml="resource_defaults: {migration-threshold: 3, failure-timeout: 600s}",
                commands=("pcs resource defaults update migration-threshold=3 failure-timeout=600s",),
            )


def _failure_timeout(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        meta = guest.resource.meta
        if meta.get("migration-threshold", "0") not in ("", "0", "INFINITY") and not milliseconds(
            meta.get("failure-timeout", "")
        ):
            yield Fault(
                subject=guest.id,
                said="failures add up over months, and then it leaves a node that is well",
                chain=f"migration-threshold {meta['migration-threshold']}; failure-timeout 0",
                yaml="resource_defaults: {failure-timeout: 600s}",
                commands=("pcs resource defaults update failure-timeout=600s",),
            )


def _stickiness(facts: Facts) -> Iterator[Seen]:
    for guest in facts.guests:
        own = _score(guest.resource.meta.get("resource-stickiness", "0"))
        preferences = [
            (_score(each.score), each.node)
            for each in (facts.cib.locations if facts.cib is not None else ())
            if each.resource == guest.id and each.node
        ]
        best, node = max(preferences, default=(0, ""))
        if own <= best or own <= 0:
            why = f"score {best} for {node}" if node else "no preference"
            yield Fault(
                subject=guest.id,
                said="it moves by itself when a node comes back, and each move is a risk that nobody chose",
                chain=f"resource-stickiness {own}; {why}",
                yaml="resource_defaults: {resource-stickiness: 1000}",
                commands=("pcs resource defaults update resource-stickiness=1000",),
            )


def _standby(facts: Facts) -> Iterator[Seen]:
    for node in facts.cib.nodes if facts.cib is not None else ():
        for name in ("standby", "maintenance"):
            if is_true(node.attributes.get(name, "false")):
                yield Fault(
                    subject=node.name,
                    said="it takes no guests when another node is lost",
                    chain=f"{name}={node.attributes[name]}",
                    commands=(f"pcs node un{name} {node.name}",),
                )


def _unread(facts: Facts) -> Iterator[Seen]:
    if facts.cib is None:
        return
    for part in facts.cib.unread:
        yield Unknown(subject=part.place, said="this part of the CIB is of a kind that is not known here")
    cib = facts.cib
    for block in (*cib.property_sets, *cib.resource_default_sets, *cib.operation_default_sets):
        if block.rule is not None:
            yield Unknown(subject=block.id, said="its values hold only by a rule, and are not looked at")
    for resource in facts.cib.walk():
        if resource.conditional:
            yield Unknown(subject=resource.id, said="some of its values hold only by a rule, and are not looked at")


def _score(text: str) -> int:
    """Return a score as a number; INFINITY is a million (Pacemaker Explained)."""
    sign = -1 if text.startswith("-") else 1
    word = text.lstrip("+-")
    if word.upper() == "INFINITY":
        return sign * 1_000_000
    return sign * int(word) if word.isdigit() else 0


def _throttle(facts: Facts) -> Iterator[Seen]:
    text = facts.property_("load-threshold", "80%").rstrip("%")
    if text.isdigit() and int(text) <= BUSY_LOAD * 100 and facts.guests:
        yield Fault(
            subject="load-threshold",
            said="on nodes as busy as hosts of guests are, recovery runs one action at a time",
            chain=f"load-threshold {text} %; a load of {2 * int(text) / 100:g} per processor leaves one action a node",
            yaml="the templates set it; render and apply them",
            commands=("pcs property set load-threshold=1000%",),
        )


def _dc_deadtime(facts: Facts) -> Iterator[Seen]:
    ring = facts.ring
    limit = facts.seconds("dc-deadtime", DC_DEADTIME_S)
    if ring is not None and limit * 1000 <= ring.totem.lost_ms:
        wanted = int(ring.totem.lost_ms / 1000 * 2) + 1
        yield Fault(
            subject="dc-deadtime",
            said="a node that boots takes itself for alone before corosync has found the others, and fences them",
            chain=f"dc-deadtime {seconds(limit)} <= {ring.totem.lost_chain}",
            yaml=f"properties: {{dc-deadtime: {wanted}s}}",
            commands=(f"pcs property set dc-deadtime={wanted}s",),
        )


def _lock(facts: Facts) -> Iterator[Seen]:
    if is_true(facts.property_("shutdown-lock", "false")):
        yield Fault(
            subject="shutdown-lock",
            said="guests of a node that is shut down stay down until that node is back",
            chain="shutdown-lock=true",
            yaml="properties: leave shutdown-lock out",
            commands=("pcs property set shutdown-lock=false",),
        )


def _recheck(facts: Facts) -> Iterator[Seen]:
    text = facts.property_("cluster-recheck-interval", "")
    if text and milliseconds(text) == 0:
        yield Fault(
            subject="cluster-recheck-interval",
            said="rules by date and failures that expire are looked at only when something else happens",
            chain="cluster-recheck-interval 0",
            yaml="properties: leave cluster-recheck-interval out",
            commands=("pcs property set cluster-recheck-interval=",),
        )


def _escalation(facts: Facts) -> Iterator[Seen]:
    limit = facts.seconds("shutdown-escalation", ESCALATION_S)
    needed, chain = _shutdown(facts)
    if needed > limit:
        yield Fault(
            subject="shutdown-escalation",
            said="a node that is shut down in order gives its guests up half way, and is fenced with them",
            chain=f"{chain} > shutdown-escalation {seconds(limit)}",
            yaml=f"properties: {{shutdown-escalation: {_minutes(needed)}min}}",
            commands=(f"pcs property set shutdown-escalation={_minutes(needed)}min",),
        )


def _stop_limit(facts: Facts) -> Iterator[Seen]:
    needed, chain = _shutdown(facts)
    for node, unknown in each_node(facts, "units"):
        if unknown:
            yield unknown
        unit = node.unit("pacemaker.service") if node else None
        if node and unit and unit.stop_timeout_s is not None and unit.stop_timeout_s < needed:
            yield Fault(
                subject=node.node,
                said="at a reboot systemd kills Pacemaker while guests still move or shut down",
                chain=f"{chain} > TimeoutStopSec of pacemaker.service {seconds(unit.stop_timeout_s)}",
                commands=(f"systemctl edit pacemaker.service   # TimeoutStopSec={_minutes(needed)}min",),
            )


def _shutdown(facts: Facts) -> tuple[float, str]:
    """Return how long a node with all guests may take to be rid of them, and how that comes about."""
    each = []
    for guest in facts.guests:
        is_movable = guest.is_movable
        leave = facts.timeout_s(guest.resource, "migrate_to")[0] if is_movable else 0.0
        each.append(leave + facts.timeout_s(guest.resource, "stop")[0])
    if not each:
        return 0.0, "no guests"
    word = facts.property_("migration-limit", "-1")
    lanes = int(word) if word.isdigit() and int(word) else len(each)
    rounds = -(-len(each) // lanes)
    needed = rounds * max(each)
    return (
        needed,
        f"{len(each)} guests, {lanes} at a time: {rounds} x (migrate_to + stop) {max(each):g} s = {needed:g} s",
    )


def _minutes(number: float) -> int:
    return int(-(-number // 60)) + 1


RULES = (
    Rule(id="maintenance-mode", severity=WARNING, area=AREA, needs=(CIB,), find=_maintenance,
         looks_at="maintenance-mode.",
         why="It is easily left on."),
    Rule(id="stop-all", severity=ERROR, area=AREA, needs=(CIB,), find=_stop_all,
         looks_at="stop-all-resources.",
         why="It is easily left on."),
    Rule(id="no-probes", severity=ERROR, area=AREA, needs=(CIB,), find=_no_probes,
         looks_at="enable-startup-probes.",
         why="What runs is known only by looking."),
    Rule(id="migration-limit", severity=WARNING, area=AREA, needs=(CIB,), find=_migration_limit,
         looks_at="migration-limit.",
         why="The default is no limit; guests that share a link converge late, or not at all."),
    Rule(id="start-fatal", severity=WARNING, area=AREA, needs=(CIB,), find=_start_fatal,
         looks_at="start-failure-is-fatal.",
         why="A passing trouble should pass."),
    Rule(id="threshold-missing", severity=ERROR, area=AREA, needs=(CIB,), find=_threshold,
         looks_at="migration-threshold of each guest, where failed starts are tried again.",
         why="A guest that cannot start here may well start there."),
    Rule(id="failure-timeout", severity=NOTE, area=AREA, needs=(CIB,), find=_failure_timeout,
         looks_at="failure-timeout of each guest with a migration-threshold.",
         why="Old failures count until somebody cleans up."),
    Rule(id="stickiness", severity=WARNING, area=AREA, needs=(CIB,), find=_stickiness,
         looks_at="resource-stickiness of each guest against its preferences for nodes.",
         why="When to move back is for a person to choose."),
    Rule(id="load-threshold", severity=WARNING, area=AREA, needs=(CIB,), find=_throttle,
         looks_at="load-threshold.",
         why="Pacemaker throttles its actions by the load of the hosts, recovery included."),
    Rule(id="dc-deadtime", severity=ERROR, area=AREA, needs=(RING, CIB), find=_dc_deadtime,
         looks_at="dc-deadtime against token and consensus.",
         why="A node must have heard the others before it acts alone."),
    Rule(id="shutdown-lock", severity=WARNING, area=AREA, needs=(CIB,), find=_lock,
         looks_at="shutdown-lock.",
         why="It turns off what a cluster of guests is for."),
    Rule(id="node-standby", severity=NOTE, area=AREA, needs=(CIB,), find=_standby,
         looks_at="standby and maintenance of the nodes.",
         why="They are easily left on."),
    Rule(id="cib-unread", severity=NOTE, area=AREA, needs=(CIB,), find=_unread,
         looks_at="Parts of the CIB that this check does not understand. It only says where there are any.",
         why="What is not looked at is not fine."),
    Rule(id="recheck-off", severity=WARNING, area=AREA, needs=(CIB,), find=_recheck,
         looks_at="cluster-recheck-interval.",
         why="Some things change with time only."),
    Rule(id="shutdown-escalation", severity=WARNING, area=AREA, needs=(CIB,), find=_escalation,
         looks_at="shutdown-escalation against what a node needs to be rid of all guests.",
         why="A reboot in order must not end as a fencing."),
    Rule(id="pacemaker-stop-limit", severity=WARNING, area=AREA, needs=(CIB, NODES), find=_stop_limit,
         looks_at="TimeoutStopSec of pacemaker.service against the same.",
         why="systemd kills what is late."),
)  # fmt: skip
