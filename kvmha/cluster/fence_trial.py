"""A fence device is tried under another name, with its new parameters, before it takes the place of the old one."""

from __future__ import annotations

import copy

from kvmha.cluster.difference_items import TRIAL
from kvmha.tools import cib
from kvmha.tools.cib import editing, history

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any as Element

    from kvmha.host import Host
    from kvmha.tools.crm_mon import ClusterStatus

SUFFIX = "-kvmha-trial"


def trial_id(name: str) -> str:
    """Return the id under which a device is tried."""
    return f"{name}{SUFFIX}"


def begin(host: Host, wanted: str, names: Iterable[str]) -> None:
    """Put copies of these devices, as they are wanted, into the live configuration."""
    chosen = tuple(names)

    def edit(root: Element) -> None:
        _clear(root)
        source = cib.tree(wanted, "the rendered CIB")
        for name in chosen:
            device = editing.element(source, name)
            editing.section(root, "resources").append(_copy(root, device))
            editing.add_block(
                root, editing.element(root, trial_id(name)), "meta_attributes", f"{trial_id(name)}-mark", "INFINITY",
                {TRIAL: "true"},
            )  # fmt: skip
            for limit in source.iterfind("configuration/constraints/rsc_location"):
                if limit.get("rsc") == name:
                    made = _copy(root, limit)
                    made.set("rsc", trial_id(name))
                    editing.section(root, "constraints").append(made)

    cib.change(host, edit)


def clear(host: Host) -> bool:
    """Take all trials out of the live configuration; tell whether there were any."""
    found: list[bool] = []

    def edit(root: Element) -> None:
        found.append(_clear(root))

    cib.change(host, edit)
    return found[-1]


def failures(host: Host, status: ClusterStatus | None, devices: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the devices that nobody has running, with the reason that was given last."""
    found = []
    running = {each.name for each in status.resources if each.nodes and not each.is_failed} if status else set()
    bad = [name for name in devices if name not in running]
    results = history.executed(cib.tree(cib.live(host))) if bad else ()
    for name in bad:
        said = [each for each in results if each.resource == name and each.rc not in (0, 7, history.PENDING)]
        why = (
            said[-1].reason or f"{said[-1].operation} on {said[-1].node} gave {said[-1].rc}" if said else "not started"
        )
        found.append((name, why))
    return found


def _copy(root: Element, element: Element) -> Element:
    """Return a copy in which every id has the suffix."""
    made = copy.deepcopy(element)
    for each in (made, *made.iterdescendants("*")):
        if each.get("id"):
            each.set("id", editing.free_id(root, trial_id(each.get("id"))))
    return made


def _clear(root: Element) -> bool:
    trials = [
        each
        for each in root.iterfind("configuration/resources/primitive")
        if any(pair.get("name") == TRIAL for pair in each.iterfind("meta_attributes/nvpair"))
    ]
    names = {each.get("id") for each in trials}
    limits = [each for each in root.iterfind("configuration/constraints/rsc_location") if each.get("rsc") in names]
    for each in (*limits, *trials):
        editing.remove(each)
    return bool(trials)
