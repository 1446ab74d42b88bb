"""What an adoption will change, and what stands against it; nothing is touched here."""

from __future__ import annotations

import difflib

from kvmha.cluster import adopt_parameters
from kvmha.errors import UserError
from kvmha.record import Record
from kvmha.tools.cib import editing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any as Element

    from kvmha.tools import cib

    Known = Callable[[str], "frozenset[str] | None"]

HOLD = "kvmha-adopt"
"""The name in a resource's meta attributes that says it is being adopted, and the end of that block's id."""

FORTH, BACK = "forth", "back"


class Swap(Record):
    """One resource that gets another agent."""

    resource: str
    old_agent: str
    new_agent: str
    old_params: Mapping[str, str]
    new_params: Mapping[str, str]
    notes: tuple[str, ...]
    refusals: tuple[str, ...]
    monitor: Mapping[str, str] | None
    is_held: bool
    """An adoption that was interrupted has it in maintenance already."""
    is_done: bool = False
    """It has the new agent already: only the rest of an interrupted adoption is left."""
    around: Mapping[str, str] = {}
    """What Pacemaker tells the agent of the clone around it, without which DRBD's shell agent judges no parameters."""

    @property
    def is_guest(self) -> bool:
        """Whether it is a guest, which has a QEMU process to keep."""
        return self.new_agent.endswith(f":{adopt_parameters.GUEST}")

    @property
    def is_replica(self) -> bool:
        """Whether it is a replica that the shell agent has, and whose data have to be in step."""
        return self.new_agent.endswith(f":{adopt_parameters.REPLICA}") and not self.is_done


class Plan(Record):
    """All that an adoption will change; ``direction`` is forth or back."""

    direction: str
    swaps: tuple[Swap, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """Everything that stands against it, a sentence each."""
        return tuple(f"{swap.resource}: {said}" for swap in self.swaps for said in swap.refusals)


def hold_id(resource: str) -> str:
    """Return the id of the block of meta attributes that keeps the cluster's hands off a resource."""
    return f"{resource}-{HOLD}"


def monitor_id(resource: str) -> str:
    """Return the id of the monitor that an adoption adds."""
    return f"{resource}-{HOLD}-monitor"


def make(
    wanted: cib.Cib, names: tuple[str, ...], direction: str, known: Known,
    originals: Mapping[str, tuple[str, Mapping[str, str]]],
) -> Plan:  # fmt: skip
    """Return the plan for these resources, all that can be adopted where none is named. Raises UserError.

    ``known`` tells the names of an agent's parameters, None for one that is not installed. ``originals`` are agent and
    parameters that a resource had before an earlier adoption.
    """
    table = adopt_parameters.SHELL if direction == FORTH else adopt_parameters.OURS
    held = {each.id for each in wanted.primitives() if HOLD in each.meta}
    chosen = [each for each in wanted.primitives() if each.agent in table]
    if names:
        _refuse_unknown(wanted, names, table)
        chosen = [each for each in wanted.primitives() if each.id in names]
    # What an interrupted run holds belongs to this one, whatever it was asked for.
    chosen += [each for each in wanted.primitives() if each.id in held and each not in chosen]
    swaps = [_swap(wanted, each, direction, known, originals) for each in chosen]
    return Plan(direction=direction, swaps=tuple(swap for swap in swaps if not swap.is_done or swap.is_held))


def _refuse_unknown(wanted: cib.Cib, names: tuple[str, ...], table: Mapping[str, str]) -> None:
    there = {each.id: each for each in wanted.walk()}
    for name in names:
        found = there.get(name)
        if found is None:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(there))}"
            raise UserError(f'"{name}" is no resource of this cluster; {hint}')
        if found.kind != "primitive":
            inside = ", ".join(each.id for each in found.children)
            raise UserError(f'"{name}" is a {found.kind}; name what is inside it: {inside}')
        if found.agent not in (*table, *table.values()):
            kinds = ", ".join(sorted(table))
            raise UserError(f'"{name}" has the agent {found.agent or "of a template"}; expected one of {kinds}')


def _swap(
    wanted: cib.Cib, resource: cib.Resource, direction: str, known: Known,
    originals: Mapping[str, tuple[str, Mapping[str, str]]],
) -> Swap:  # fmt: skip
    table = adopt_parameters.SHELL if direction == FORTH else adopt_parameters.OURS
    is_done = resource.agent in table.values()
    before = dict(zip(table.values(), table))[resource.agent] if is_done else resource.agent
    after = table[before]
    made = adopt_parameters.Translation(params=resource.params)
    clone = _clone(wanted, resource)
    refusals: list[str] = []
    names = known(after)
    if names is None:
        refusals.append(f"the agent {after} is not installed on this node")
    elif not is_done:
        made = _translate(wanted, resource, direction, names, originals)
    if any(word == "params" for word, _block in resource.conditional):
        refusals.append("it has parameters with a rule, which are not translated; take the rule out first")
    if resource.template:
        refusals.append(f"it is made from the template {resource.template}; give it an agent of its own first")
    return Swap(
        resource=resource.id,
        old_agent=before,
        new_agent=after,
        old_params=resource.params,
        new_params=made.params,
        notes=made.notes,
        refusals=(*refusals, *made.refusals),
        monitor=made.monitor,
        is_held=HOLD in resource.meta,
        is_done=is_done,
        around={} if clone is None else adopt_parameters.around(clone, len(wanted.nodes)),
    )


def _translate(
    wanted: cib.Cib, resource: cib.Resource, direction: str, names: frozenset[str],
    originals: Mapping[str, tuple[str, Mapping[str, str]]],
) -> adopt_parameters.Translation:  # fmt: skip
    if direction == FORTH:
        return adopt_parameters.forth(resource.agent, resource.params, names, clone=_clone(wanted, resource))
    agent, params = originals.get(resource.id, ("", {}))
    if agent != adopt_parameters.OURS[resource.agent]:
        return adopt_parameters.back(resource.agent, resource.params, names, clone=_clone(wanted, resource))
    # What was set since is lost, and what was translated is again what it was.
    forth = adopt_parameters.forth(agent, params, frozenset((*resource.params, *params))).params
    changed = [name for name in resource.params if resource.params[name] != forth.get(name)]
    said = "was set after the adoption, and is not taken back"
    return adopt_parameters.Translation(
        params=params,
        notes=tuple(f"{name}={resource.params[name]} {said}" for name in changed),
        refusals=tuple(adopt_parameters.why_not_back(resource.agent, params, _clone(wanted, resource) or {})),
    )


def _clone(wanted: cib.Cib, resource: cib.Resource) -> Mapping[str, str] | None:
    """Return the meta attributes of the clone around a resource, also around its group; None for none."""
    around = wanted.resource(resource.parent) if resource.parent else None
    while around is not None and around.kind != "clone":
        around = wanted.resource(around.parent) if around.parent else None
    return None if around is None else around.meta


# ------------------------------------------------------------------ the changes


def hold(root: Element, plan: Plan) -> None:
    """Put the resources into maintenance: the cluster then neither monitors nor touches them."""
    for swap in plan.swaps:
        primitive = editing.element(root, swap.resource)
        if primitive is not None and editing.element(root, hold_id(swap.resource)) is None:
            # The highest score: what else the resource says of maintenance waits until the block is gone.
            values = {"maintenance": "true", HOLD: plan.direction}
            editing.add_block(root, primitive, "meta_attributes", hold_id(swap.resource), "INFINITY", values)


def replace(root: Element, plan: Plan) -> None:
    """Give the resources their new agents and parameters."""
    for swap in plan.swaps:
        _exchange(root, swap.resource, swap.new_agent, swap.new_params, swap.monitor)


def put_back(root: Element, plan: Plan) -> None:
    """Give the resources the agents and parameters back that they had when the plan was made."""
    for swap in plan.swaps:
        agent = swap.new_agent if swap.is_done else swap.old_agent
        _exchange(root, swap.resource, agent, swap.old_params, None)


def _exchange(
    root: Element, resource: str, agent: str, params: Mapping[str, str], monitor: Mapping[str, str] | None
) -> None:
    primitive = editing.element(root, resource)
    if primitive is None:
        return
    editing.set_agent(primitive, agent)
    blocks = primitive.iterchildren("instance_attributes")
    there = [pair.get("name") for block in blocks for pair in block.iterchildren("nvpair")]
    for name in there:
        if name not in params:
            editing.set_value(root, primitive, "instance_attributes", name, None)
    for name, value in params.items():
        editing.set_value(root, primitive, "instance_attributes", name, value)
    added = editing.element(root, monitor_id(resource))
    if added is not None and not agent.startswith("ocf:kvmha:"):
        editing.remove(added)
    if monitor is not None and added is None:
        editing.add_operation(root, primitive, monitor_id(resource), dict(monitor))


def release(root: Element, plan: Plan) -> None:
    """Give the resources back to the cluster."""
    for swap in plan.swaps:
        block = editing.element(root, hold_id(swap.resource))
        if block is not None:
            editing.remove(block)
