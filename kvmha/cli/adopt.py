"""kvmha adopt: the shell agents' guests and addresses become ours while they run."""

from __future__ import annotations

import argparse
import functools
import json
import sys

from kvmha.cluster import adopt, adopt_plan
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.tools import cib, crm_resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.cluster.adopt import Proof
    from kvmha.cluster.adopt_plan import Plan, Swap
    from kvmha.host import Host

ASK_LIMIT = 60.0


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "adopt",
        help="give the shell agents' guests and addresses to kvmha's agents while they run",
        description="Turn resources of ocf:heartbeat:VirtualDomain, ocf:heartbeat:IPaddr2 and ocf:linbit:drbd into "
        "those of kvmha, and back, without stopping anything: put them into maintenance, replace the agents, have the "
        "new ones look, prove that everything is where it was and every guest has the process that it had, and end "
        "the maintenance. A run that was interrupted goes on when it is started again. Run it on a node, as root.",
    )
    parser.add_argument("resources", metavar="RESOURCE", nargs="*", help="a primitive resource of the cluster")
    parser.add_argument("--all", action="store_true", help="all resources of these agents")
    parser.add_argument("--back", action="store_true", help="from kvmha's agents to the shell agents")
    parser.add_argument("--dry-run", action="store_true", help="show what would be changed, and change nothing")
    parser.add_argument("--json", action="store_true", help="print the plan, or the proof, as JSON")
    parser.set_defaults(handler=handler)


def handler(args: argparse.Namespace, host: Host) -> int:
    """Plan, refuse, do, prove."""
    if bool(args.resources) == args.all:
        raise UserError("name the resources to adopt, or give --all")
    plan = _plan(args, host)
    if not plan.swaps:
        return _nothing(args)
    _show(plan, as_json=args.json, is_all=args.dry_run)
    if plan.refusals:
        raise UserError("\n".join((*plan.refusals, "nothing was changed")))
    if args.dry_run:
        return 0
    say = functools.partial(print, file=sys.stderr if args.json else sys.stdout, flush=True)
    try:
        proofs = adopt.Adoption(host, plan, say).run()
    except adopt.AdoptError as error:
        print(f"kvmha: {error}", file=sys.stderr)
        return 1
    _report(proofs, plan, as_json=args.json)
    return 0


def _plan(args: argparse.Namespace, host: Host) -> Plan:
    direction = adopt_plan.BACK if args.back else adopt_plan.FORTH
    try:
        live = cib.read(cib.live(host))
    except CommandError as error:
        raise UserError(
            f"no cluster answers on this node ({error}); run it on a node of the cluster, as root"
        ) from None

    @functools.cache
    def known(agent: str) -> frozenset[str] | None:
        return crm_resource.parameters(host, agent, timeout=ASK_LIMIT)

    plan = adopt_plan.make(live, tuple(args.resources), direction, known, adopt.originals(host))
    return plan.replace(swaps=tuple(_validated(host, swap) for swap in plan.swaps))


def _validated(host: Host, swap: Swap) -> Swap:
    """Have the new agent say what it has against the parameters, before anything is touched."""
    if swap.refusals or swap.is_done:
        return swap
    why = crm_resource.why_not_valid(host, swap.new_agent, {**swap.new_params, **swap.around}, timeout=ASK_LIMIT)
    return swap if why is None else swap.replace(refusals=(f"{swap.new_agent} would refuse it: {why}",))


def _nothing(args: argparse.Namespace) -> int:
    said = "nothing is left to adopt" if not args.back else "nothing is left to give back"
    print(json.dumps({"resources": []}) if args.json else said)
    return 0


def _show(plan: Plan, *, as_json: bool, is_all: bool) -> None:
    if as_json:
        if is_all or plan.refusals:
            print(json.dumps({"direction": plan.direction, "resources": [_words(swap) for swap in plan.swaps]}))
        return
    for swap in plan.swaps:
        print(f"{swap.resource}: {swap.old_agent} -> {swap.new_agent}{_rest_of(swap)}")
        for note in swap.notes:
            print(f"    {note}")


def _rest_of(swap: Swap) -> str:
    if swap.is_done:
        return " was done by a run that was interrupted; the rest follows"
    return " (in maintenance since a run that was interrupted)" if swap.is_held else ""


def _words(swap: Swap) -> dict[str, object]:
    return {
        "resource": swap.resource,
        "from": swap.old_agent,
        "to": swap.new_agent,
        "parameters": dict(swap.new_params),
        "notes": list(swap.notes),
        "refusals": list(swap.refusals),
        "is_interrupted": swap.is_held,
    }


def _report(proofs: tuple[Proof, ...], plan: Plan, *, as_json: bool) -> None:
    if as_json:
        words = {swap.resource: _words(swap) for swap in plan.swaps}
        found = [{**words[proof.resource], **adopt.as_json(proof)} for proof in proofs]
        print(json.dumps({"direction": plan.direction, "resources": found}))
        return
    for proof in proofs:
        print(f"{proof.resource}: {proof.agent}, {_standing(proof)}")
        for _before, run in proof.runs:
            print(f"    {run if not run.is_known else f'the same {run}'}")
        if proof.restarts_on:
            print("    Pacemaker will restart it when a parameter is changed, unless it was moved or started before")


def _standing(proof: Proof) -> str:
    places = [f"{role.lower()} on {node}" for node, role in proof.after]
    return f"still {', '.join(places)}" if places else "stopped as before"
