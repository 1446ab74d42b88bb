"""kvmha drain: all guests away from a node, in an order and with a duration that are told before; then standby."""

from __future__ import annotations

import argparse
import json
import sys

from kvmha import journal
from kvmha.cli.migrate import sentence
from kvmha.cli.moving import admission, decided, forecasting, replicas
from kvmha.cli.moving.sight import Sight
from kvmha.cli.moving.through_pacemaker import MOVED, RESTARTED, Move
from kvmha.cli.moving.watching import Watch
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy import draining, migration, movability
from kvmha.record import plain
from kvmha.tools import cib, crm_attribute, crm_resource, drbd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.draining import Plan
    from kvmha.policy.forecast import Forecast

AT_ONCE = 2
"""Moves at a time where the cluster's migration-limit says nothing."""

EMPTY_LIMIT = 300.0
"""Seconds in which what is no guest leaves a node that is put into standby."""

LIMIT = 30.0

GONE = (MOVED, RESTARTED)


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "drain",
        help="move all guests away from a node, and put it into standby",
        description="Plan which guest of a node goes where, in which order and how long it takes; move them through "
        "the cluster; put the node into standby; and end when nothing runs there any more. Refused if a guest would "
        "have nowhere to go, or DRBD no current copy. Ctrl-C aborts the moves under way, and leaves the node in use. "
        "Exit code 0: nothing runs there any more; 1: something still does; 2: bad input, or refused.",
    )
    parser.add_argument("node", metavar="NODE")
    parser.add_argument("--cold", action="store_true", help="what cannot move live is shut down and started there")
    parser.add_argument(
        "--override", "--force", action="store_true",
        help="drain it all the same, and log it; what cannot go is stopped",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and move nothing")
    parser.add_argument("--no-probe", action="store_true", help="do not measure how fast each guest writes")
    parser.add_argument("--json", action="store_true", help="print the plan, or the result, as JSON")
    parser.set_defaults(handler=handler)


def handler(args: argparse.Namespace, host: Host) -> int:
    """Plan, refuse, move, wait."""
    sight = Sight(host)
    node = sight.node(args.node)
    status = sight.status.node(node)
    if status is None or not status.is_online:
        raise UserError(f"{node} is not online, so there is nothing to drain")
    if status.is_standby:
        raise UserError(f"{node} is in standby already; kvmha undrain {node} ends that")
    inputs, forecasts = _inputs(sight, node, args)
    made = draining.plan(**inputs)
    refusals = [f"{each.guest} has nowhere to go: {'; '.join(each.reasons)}" for each in made.refusals]
    refusals += [
        *admission.against_drain(sight, node, is_forced=args.override and not args.dry_run),
        *_data_loss(sight, node),
    ]
    decided.drain(host, node, inputs, made, refusals=refusals, forced=args.override and not args.dry_run)
    if args.dry_run:
        _show(made, node, refusals, as_json=args.json)
        return 2 if refusals else 0
    if not args.json:
        _show(made, node, refusals, as_json=False)
    if refusals and not args.override:
        raise UserError("\n".join((*refusals, f"{node} was not drained; --override does it all the same")))
    if refusals:
        _log(f"drain of {node} was forced: {'; '.join(refusals)}")
    drain = Drain(sight, node, made, forecasts, is_quiet=args.json)
    code = drain.run(is_forced=args.override)
    if args.json:
        results = [plain(move.result()) for move in drain.moves]
        print(json.dumps({"node": node, "is_empty": code == 0, "moves": results, "left": drain.left()}))
    return code


def _inputs(sight: Sight, node: str, args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Forecast | None]]:
    """Return the arguments of the plan, and the forecast of each guest."""
    movers: list[draining.Mover] = []
    forecasts: dict[str, Forecast | None] = {}
    free: dict[str, float] = {}
    for guest in sight.guests_on(node):
        candidates: list[draining.Candidate] = []
        memory = 0.0
        for target in [name for name in sight.nodes if name != node]:
            view = sight.view(guest, target)
            memory = view.guest.memory_mib or memory
            free.setdefault(target, view.there.free_mib or 0.0)
            found, seconds = migration.decide(view), draining.COLD_S
            if found.verdict == movability.LIVE:
                measures = not args.no_probe and not candidates
                basis = forecasting.basis(sight.host, guest, view.path, memory_mib=memory, measures=measures)
                forecasts[guest.name] = made = forecasting.make(guest, basis)
                decided.forecast(sight.host, guest.name, target, forecasting.inputs(guest, basis), made)
                seconds = made.seconds
            candidates.append(draining.Candidate(preflight=found, seconds=seconds))
        priority = guest.resource.meta.get("priority", "0")
        movers.append(
            draining.Mover(
                guest=guest.name,
                memory_mib=memory,
                priority=int(priority) if priority.lstrip("-").isdigit() else 0,
                candidates=tuple(candidates),
            )
        )
    limit = sight.cib.properties.get("migration-limit", "")
    at_once = int(limit) if limit.isdigit() and int(limit) else AT_ONCE
    return (
        {"movers": tuple(movers), "free_mib": free, "at_once": at_once, "may_be_cold": bool(args.cold)},
        forecasts,
    )


def _data_loss(sight: Sight, node: str) -> list[str]:
    """Return a sentence for each DRBD resource whose last current copy is on the node.

    Of those that this node has DRBD itself tells, of the others their promotion scores.
    """
    found, seen = [], set()
    for replica in drbd.replicas(sight.host) if sight.host.exists(drbd.LOADED) else ():
        seen.add(replica.resource)
        elsewhere = [peer for peer in replica.peers if peer.name != node]
        if sight.here == node:
            is_safe = any(peer.is_up_to_date for peer in replica.peers)
        else:
            is_safe = replica.is_up_to_date or any(peer.is_up_to_date for peer in elsewhere)
        if not is_safe:
            found.append(f"DRBD resource {replica.resource} would be left without an UpToDate copy")
    current = {each.name: replicas.up_to_date(each.attributes) for each in sight.status.nodes if each.is_online}
    elsewhere_current = {disk for name, disks in current.items() if name != node for disk in disks}
    found += [
        f"DRBD resource {disk} would be left without an UpToDate copy, by its promotion scores"
        for disk in sorted(current.get(node, set()) - elsewhere_current - seen)
    ]
    return found


class Drain:
    """The work on one node."""

    def __init__(
        self, sight: Sight, node: str, made: Plan, forecasts: dict[str, Forecast | None], *, is_quiet: bool
    ) -> None:
        self.sight = sight
        self.host = sight.host
        self.node = node
        self.at_once = made.at_once
        self.is_quiet = is_quiet
        self.waiting = [Move(sight, sight.guest(item.guest), item.target, is_cold=item.is_cold) for item in made.items]
        self.moves = tuple(self.waiting)
        self._running: list[Move] = []
        self._wishes: list[Move] = []
        self._watch = Watch(sight, forecasts, is_quiet=is_quiet)

    def run(self, *, is_forced: bool) -> int:
        """Move them all, then put the node into standby; return the exit code."""
        begun = self.host.now()
        try:
            self._watch.until_over(self._next)
            if all(move.state in GONE for move in self.moves) or is_forced:
                self._empty()
        except KeyboardInterrupt:
            self._abort()
            return 130
        finally:
            # A wish that went before the standby would let a guest return that likes its old node better.
            for move in [*self._wishes, *self._running]:
                self._finish(move)
        left = self.left()
        took = self.host.now() - begun
        stayed = [move.guest.name for move in self.moves if move.state not in GONE]
        if left or stayed:
            rest = "" if is_forced else "; it is not in standby"
            self._say(
                f"{self.node} is not empty after {took:.0f} s: {', '.join(left or stayed)} still runs there{rest}"
            )
            return 1
        self._say(f"{self.node} is empty and in standby after {took:.0f} s; kvmha undrain {self.node} ends that")
        return 0

    def left(self) -> list[str]:
        """Return what runs on the node, or has something pending there."""
        status = self.sight.refresh()
        return sorted({each.name for each in status.resources if self.node in each.nodes or each.pending})

    def _next(self) -> tuple[Move, ...]:
        """Settle what is over, begin what may begin, and return what is under way."""
        if self._is_any_between():
            return tuple(self._running)
        for move in [move for move in self._running if move.is_over]:
            self._running.remove(move)
            self._say(sentence(move))
            if move.state in GONE:
                self._wishes.append(move)
            else:
                self._finish(move)
        while self.waiting and len(self._running) < self.at_once and not self._is_any_between():
            move = self.waiting.pop(0)
            self._running.append(move)
            move.begin()
        return tuple(self._running)

    def _is_any_between(self) -> bool:
        """Tell whether a guest would be restarted if the cluster's configuration changed now."""
        return any(move.is_between for move in self._running)

    def _empty(self) -> None:
        self.host.run(*crm_attribute.standby_argv(self.node, is_on=True), timeout=LIMIT)
        crm_resource.wait_idle(self.host, timeout=EMPTY_LIMIT)

    def _abort(self) -> None:
        print("aborting the moves under way; the node stays in use", file=sys.stderr)
        for move in self._running:
            move.abort()
        until = self.host.now() + LIMIT
        while any(not move.is_over for move in self._running) and self.host.now() < until:
            self.host.sleep(1.0)
            self.sight.refresh()
            for move in self._running:
                move.look()

    def _finish(self, move: Move) -> None:
        try:
            move.finish()
        except CommandError as error:
            print(f"kvmha: {move.guest.name}: {error}", file=sys.stderr)

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr if self.is_quiet else sys.stdout, flush=True)


def _show(made: Plan, node: str, refusals: list[str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"node": node, **plain(made), "said": refusals}))
        return
    print(f"{node}: {len(made.items)} guests, {made.at_once} at a time, about {made.seconds:.0f} s")
    for item in made.items:
        how = "shut down and started there" if item.is_cold else "live"
        print(f"    {item.guest} to {item.target}, {how}, {item.seconds:.0f} s")
    sys.stdout.flush()


def _log(text: str) -> None:
    journal.warn(text)
    print(f"kvmha: {text}", file=sys.stderr)


def undrain(args: argparse.Namespace, host: Host) -> int:
    """Let the cluster use a node again."""
    sight = Sight(host)
    node = sight.node(args.node)
    status = sight.status.node(node)
    if status is not None and not status.is_standby:
        raise UserError(f"{node} is not in standby, so there is nothing to undo")
    host.run(*crm_attribute.standby_argv(node, is_on=False), timeout=LIMIT)
    crm_resource.wait_idle(host, timeout=EMPTY_LIMIT)
    found = cib.read(cib.live(host))
    there = sorted(each.name for each in sight.refresh().resources if node in each.nodes and found.resource(each.name))
    print(json.dumps({"node": node, "runs": there}) if args.json else f"{node} is in use; it runs {', '.join(there)}")
    return 0
