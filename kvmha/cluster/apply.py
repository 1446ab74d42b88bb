"""A description made true on a cluster, step by step, from whatever state it is in.

Invariant: at no moment does a guest run that was not running before without fencing that works. Fence devices come
first, and are seen to answer, before anything that is new may start; one that is changed is tried under another name
before the old one gives way, and one that is no longer described goes last. Each step reads the live configuration
anew and writes once, so that a run that is killed anywhere is simply started again.
"""

from __future__ import annotations

from kvmha.cluster import apply_plan, fence_trial, merge, set_up
from kvmha.cluster import difference as differences
from kvmha.cluster import difference_items as kinds
from kvmha.host import CommandError
from kvmha.tools import cib, crm_mon, crm_resource
from kvmha.tools.cib import INFINITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kvmha.cluster.apply_plan import Plan, Wanted
    from kvmha.cluster.difference import Comparison, Difference
    from kvmha.host import Host

    Chooser = Callable[[Comparison], Collection[Difference]]

SETTLED = 300.0
"""Seconds that the cluster may take for what a step makes it do."""


JOINED = 20.0
"""Seconds for a cluster that was started a moment ago to have a coordinator and quorum."""


class ApplyError(Exception):
    """A step failed; the message says which, why, and how things stand."""


class Application:
    """One run; ``progress`` is told of each step before it is taken."""

    def __init__(
        self, host: Host, wanted: Wanted, progress: Callable[[str], None], *, overwrite: Collection[str] = (),
        is_forced: bool = False,
    ) -> None:  # fmt: skip
        self._host = host
        self._wanted = wanted
        self._say = progress
        self._overwrite = tuple(overwrite)
        self._is_forced = is_forced

    def run(self, plan: Plan) -> tuple[str, ...]:
        """Do it; return what is left to be done by hand. Raises ApplyError, UserError, CommandError."""
        if not plan.is_there:
            set_up.run(self._host, self._wanted, self._say)
        away = self._need_quorum()
        left = self._corosync(away)
        self._fencing()
        self._step("guests, addresses and all that is new or changed", _rest)
        self._step("stop what is no longer described", _removed, edit=self._stop)
        self._step("remove what is no longer described", _removed)
        if fence_trial.clear(self._host):
            self._say("remove the trials of fence devices")
        # What was right without our doing is remembered as applied, too.
        cib.change(self._host, self._editor(lambda _comparison: ()))
        return left

    def _compare(self) -> Comparison:
        live = cib.read(cib.live(self._host, timeout=apply_plan.ASK_LIMIT))
        return apply_plan.compare(self._host, self._wanted, live, self._overwrite)

    def _editor(self, choose: Chooser) -> Callable[[object], None]:
        return apply_plan.editor(self._host, self._wanted, self._overwrite, choose)

    # ------------------------------------------------------------------- steps

    def _need_quorum(self) -> tuple[str, ...]:
        """Return the described nodes that are not there. Raises ApplyError without quorum."""
        until = self._host.now() + JOINED
        status = crm_mon.look(self._host, timeout=apply_plan.ASK_LIMIT)
        while (status is None or not status.is_quorate) and self._host.now() < until:
            self._host.sleep(0.5)
            status = crm_mon.look(self._host, timeout=apply_plan.ASK_LIMIT)
        if status is None or not status.is_quorate:
            raise ApplyError("the cluster has no quorum, and would take no change; nothing was changed")
        described = {node.name for node in self._wanted.description.nodes}
        away = sorted(node.name for node in status.nodes if node.name in described and not node.is_online)
        if away:
            self._say(f"{', '.join(away)} is not online, and gets the configuration when it joins")
        return tuple(away)

    def _corosync(self, away: tuple[str, ...]) -> tuple[str, ...]:
        """Change what corosync takes over while it runs; return what it does not.

        While a node is away nothing is changed: its own file would stay behind, and it would come back with other
        times than the rest.
        """
        names = tuple(node.name for node in self._wanted.description.nodes)
        lacking = f"all nodes are needed, and {', '.join(away)} is away" if away else "corosync has to be started anew"
        left = []
        for difference in _of_kind(self._compare(), kinds.COROSYNC):
            values = {change.field: change.wanted for change in difference.fields}
            live = {name: value for name, value in values.items() if not away and set_up.can_change(name)}
            if live:
                self._say(f"corosync.conf: {', '.join(sorted(live))}")
                set_up.change_corosync(self._host, names, live)
                cib.change(self._host, self._editor(lambda comparison: _of_kind(comparison, kinds.COROSYNC)))
            left += [
                f"corosync.conf: {name} is to be {values[name] or 'gone'}; {lacking}"
                for name in values
                if name not in live
            ]
        return tuple(left)

    def _fencing(self) -> None:
        """Make the new devices and see them work, try the changed ones, then let them take over."""
        changed = [each for each in self._compare().to_do() if _is_changed_device(each)]
        if changed:
            names = tuple(each.live_id for each in changed)
            self._say(f"try {', '.join(names)} as described, beside what is there")
            fence_trial.begin(self._host, self._wanted.xml, names)
            self._settle()
            self._refuse_failed(
                tuple(map(fence_trial.trial_id, names)), "what was there fences on, nothing else was changed"
            )
        self._step("fence devices, their constraints and levels, and the cluster's properties", _fencing)
        devices = tuple(each.id for each in self._wanted.cib().primitives() if each.is_fence_device)
        self._refuse_failed(devices, "no guest was touched")
        fence_trial.clear(self._host)

    def _refuse_failed(self, devices: tuple[str, ...], stand: str) -> None:
        bad = self._failed(devices)
        if bad:
            # A run before this one may have made them a moment ago, and been killed.
            self._settle()
            bad = self._failed(devices)
        if not bad:
            return
        said = "; ".join(f"{name}: {why}" for name, why in bad)
        if self._is_forced and not any(name.endswith(fence_trial.SUFFIX) for name, _why in bad):
            self._say(f"goes on without fence devices that work, as asked: {said}")
            return
        fence_trial.clear(self._host)
        raise ApplyError(f"fencing does not work ({said}); {stand}")

    def _failed(self, devices: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return which of these do not run although they could, and why."""
        status = crm_mon.look(self._host, timeout=apply_plan.ASK_LIMIT)
        online = {node.name for node in status.nodes if node.is_online} if status else set()
        # The device of the only other node has nowhere to run while that one is down, which proves nothing against it.
        placed = tuple(name for name in devices if online - self._barred(name.replace(fence_trial.SUFFIX, "")))
        return fence_trial.failures(self._host, status, placed)

    def _barred(self, device: str) -> set[str]:
        """Return the nodes on which a device never runs."""
        score = f"-{INFINITY}"
        return {each.node for each in self._wanted.cib().locations if (each.resource, each.score) == (device, score)}

    def _stop(self, root: object) -> None:
        """Have what is to be removed stop first, while the cluster still knows how."""
        live = cib.read(cib.text_of(root))
        comparison = apply_plan.compare(self._host, self._wanted, live, self._overwrite)
        names = [each.live_id for each in _removed(comparison) if each.item.kind == kinds.RESOURCE]
        merge.stop(root, names)

    def _step(self, what: str, choose: Chooser, edit: Callable[[object], None] | None = None) -> None:
        """Take one step if it has something to do, and wait until the cluster has done its part."""
        chosen = choose(self._compare())
        if not chosen:
            return
        self._say(f"{what}: {', '.join(each.item.title for each in chosen)}")
        cib.change(self._host, edit or self._editor(choose))
        self._settle()

    def _settle(self) -> None:
        try:
            crm_resource.wait_idle(self._host, timeout=SETTLED)
        except CommandError as error:
            raise ApplyError(
                f"the cluster did not become idle: {error}; look at crm_mon, then run this again"
            ) from None


def _of_kind(comparison: Comparison, kind: str) -> list[Difference]:
    return [each for each in comparison.to_do() if each.item.kind == kind]


def _is_changed_device(each: Difference) -> bool:
    """Tell whether a device that is there gets another way of fencing, and not only another comment on it."""
    return (
        each.item.kind == kinds.FENCE_DEVICE
        and each.act == differences.CHANGE
        and any(change.field == "agent" or change.field.startswith("params.") for change in each.fields)
    )


def _fencing(comparison: Comparison) -> list[Difference]:
    """Return what makes fencing, but for what goes: that goes last."""
    devices = {item.id for item in comparison.wanted if item.kind == kinds.FENCE_DEVICE}
    return [
        each
        for each in comparison.to_do()
        if each.act != differences.REMOVE
        and (
            each.item.kind in (kinds.FENCE_DEVICE, kinds.LEVEL, kinds.PROPERTIES)
            or (each.item.kind == kinds.CONSTRAINT and {*each.item.refers} <= devices)
        )
    ]


def _rest(comparison: Comparison) -> list[Difference]:
    return [each for each in comparison.to_do() if each.act != differences.REMOVE and each.item.kind != kinds.COROSYNC]


def _removed(comparison: Comparison) -> list[Difference]:
    return [each for each in comparison.to_do() if each.act == differences.REMOVE and each.item.kind != kinds.COROSYNC]


def why_refused(plan: Plan, *, allows_restart: bool) -> str | None:
    """Return why a plan is not carried out, or None."""
    if plan.refused:
        return f"Pacemaker would not take the result: {'; '.join(plan.refused)}"
    if plan.disturbed and not allows_restart:
        said = ", ".join(f"{change.action} {change.subject} ({change.reason})" for change in plan.disturbed)
        return f"it would {said}; give --allow-restart if that may be"
    return None
