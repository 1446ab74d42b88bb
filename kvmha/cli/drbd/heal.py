"""kvmha drbd heal: both sides of a split brain, and its end by giving up what one of them has written."""

from __future__ import annotations

import json

from kvmha.cli.drbd import sides, sync
from kvmha.cli.drbd.sides import Here
from kvmha.errors import UserError
from kvmha.host import CommandError
from kvmha.policy import split_brain
from kvmha.policy.replica import CONNECTED, STANDALONE
from kvmha.tools import drbd, ssh
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from kvmha.host import Host
    from kvmha.policy.split_brain import Side

LIMIT = 30.0
"""Seconds for one order."""

SETTLE = 10.0
"""Seconds for DRBD to decide on a connection: its handlers, and all who are alerted, run before it gives one up."""

MEET = 15.0
"""Seconds for the two sides to find each other."""


def run(args: argparse.Namespace, host: Host) -> int:
    """Explain; with --discard also do it."""
    here = _settled(host, args.resource)
    seen: dict[str, Side | None] = {here.node: here.side}
    seen.update({name: None if args.here else sides.other(host, name, args.resource) for name in here.peers})
    if args.json:
        print(json.dumps({"resource": args.resource, "sides": {name: _plain(side) for name, side in seen.items()}}))
    else:
        print("\n".join(explanation(args.resource, here.node, seen, host.wall_clock())))
    if args.discard is None:
        return 0
    refused = split_brain.why_not_discard(seen, args.discard)
    if refused:
        raise UserError(f"{args.resource} is left as it is: {refused}")
    question = f"\nEverything that {args.discard} has written to {args.resource} since the two parted will be lost."
    sides.confirmed(args.resource, args.confirm, question)
    return discard(args, host, here, seen)


def _settled(host: Host, resource: str) -> Here:
    """Return this node's side, once its kernel no longer just meets a peer, which looks like a connection."""
    until = host.now() + SETTLE
    while True:
        here = Here(host, resource)
        meets = any(peer.connection == CONNECTED and not peer.agrees for peer in here.replica.peers)
        if not meets or host.now() >= until:
            return here
        host.sleep(sync.POLL)


def explanation(resource: str, own: str, seen: dict[str, Side | None], now: float) -> list[str]:
    """Return what is known of both sides, and what follows."""
    said = [f"{resource}, seen from {own}:", *split_brain.explain(seen, now)]
    mine = seen[own]
    assert mine is not None
    for name, side in sorted(seen.items()):
        if name == own:
            continue
        said.append(f"{own} and {name}: {WORDS[split_brain.relation(mine, side)].format(mine=own, theirs=name)}")
    return said


WORDS = {
    split_brain.SAME: "the same data; nothing has to be given up",
    split_brain.PARTED: "split brain: both were written since they parted",
    split_brain.AHEAD: "{mine} has gone on from what {theirs} has; {theirs} has written nothing of its own",
    split_brain.BEHIND: "{theirs} has gone on from what {mine} has; {mine} has written nothing of its own",
    split_brain.UNRELATED: "no generation in common: one of them would be copied whole",
    split_brain.UNSEEN: "{theirs} was not seen, so that nobody knows from here which side is newer",
}


def discard(args: argparse.Namespace, host: Host, here: Here, seen: dict[str, Side | None]) -> int:
    """Give up one side, wherever this runs; what cannot be reached is printed as a command."""
    resource, victim = args.resource, args.discard
    again = f"kvmha drbd heal {resource} --discard {victim} --here --confirm {resource}"
    missing = []
    # The side that stays listens first; the one that gives up then comes with the word that it does.
    for name in sorted(seen, key=lambda name: name == victim):
        if name == here.node:
            order(host, here, gives_up=name == victim)
        elif args.here or seen[name] is None or not _ordered(host, name, again):
            missing.append(name)
    if missing and not args.here:
        print(f"To be run on {' and '.join(missing)} as well: {again}")
    if args.no_wait or args.here or missing:
        return 1 if missing and not args.here else 0
    return wait(host, resource)


def order(host: Host, here: Here, *, gives_up: bool) -> None:
    """Do this node's part. Raises CommandError."""
    is_alone = all(peer.connection == STANDALONE for peer in here.replica.peers)
    if gives_up:
        if here.replica.is_promoted:
            raise UserError(f"{here.resource} is promoted here: stop what uses it first")
        if not is_alone:
            host.run(*commands.disconnect_argv(here.resource), timeout=LIMIT)
        host.run(*commands.connect_argv(here.resource, discard=True), timeout=LIMIT)
        print(f"{here.node} gives up what it has written, and waits for its peer")
    elif is_alone:
        host.run(*commands.connect_argv(here.resource), timeout=LIMIT)
        print(f"{here.node} keeps its data, and waits for its peer")


def _ordered(host: Host, node: str, again: str) -> bool:
    try:
        done = host.run(*ssh.argv(node, *again.split()), timeout=LIMIT + ssh.CONNECT_LIMIT)
    except CommandError as error:
        print(f"{node}: {error}")
        return False
    print(done.out.splitlines()[-1] if done.out.strip() else f"{node} has done its part")
    return True


def wait(host: Host, resource: str) -> int:
    """Wait until the two have met, and then until all is up to date."""
    until = host.now() + MEET
    while host.now() < until:
        replica = drbd.replica(host, resource)
        if replica is not None and any(peer.agrees for peer in replica.peers):
            break
        host.sleep(sync.POLL)
    return sync.follow(host, resource)


def _plain(side: Side | None) -> dict[str, object] | None:
    return None if side is None else sides.as_json(side)
