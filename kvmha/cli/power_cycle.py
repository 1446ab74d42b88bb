"""The real power cycle of kvmha fence prove: the drill power-cut, and what it proves of the paths that it used."""

from __future__ import annotations

import argparse
import contextlib
import io
import json

from kvmha.drill.catalogue import POWER_CUT
from kvmha.errors import UserError
from kvmha.gather import fencing
from kvmha.policy import fencing_proof
from kvmha.policy.fencing_proof import Path
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.cluster.facts import Facts
    from kvmha.host import Host


class Cycle(Record):
    """A power cycle that was made."""

    has_passed: bool
    told: object
    """The drill's outcome as JSON has it; None where it was printed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a power cycle."""
    parser.add_argument(
        "--power-cycle", action="store_true",
        help="then switch the node of --node off by its own device, see the cluster fence it and run its guests "
        "elsewhere, and the node return: the drill power-cut, under the same gates",
    )  # fmt: skip
    parser.add_argument("--confirm", metavar="NODE", help="the node's name, instead of typing it, for --power-cycle")
    parser.add_argument(
        "--despite", metavar="GATE", action="append", default=[], help="pass a gate of the drill that is closed"
    )
    parser.add_argument("--description", metavar="cluster.yaml", help="for limits and services of guests")


def check(args: argparse.Namespace) -> None:
    """Refuse what does not go together. Raises UserError."""
    if not args.power_cycle:
        if args.confirm or args.despite:
            raise UserError("--confirm and --despite are for --power-cycle")
        return
    if not args.node:
        raise UserError("--power-cycle wants --node: one node at a time")
    if args.here or args.show:
        raise UserError(f"--power-cycle does not go together with {'--here' if args.here else '--show'}")


def run(args: argparse.Namespace, host: Host, facts: Facts, here: str) -> Cycle:
    """Run the drill, and write down what it has proven. Raises UserError where a gate is closed: nothing was done."""
    devices = fencing.chosen(facts, args.node, here)
    shown = io.StringIO() if args.json else None
    with contextlib.redirect_stdout(shown) if shown is not None else contextlib.nullcontext():
        code = _drill(args, host)
    if code == 0:
        at = host.wall_clock()
        made = [fencing_proof.cycled(Path(device=each.id, target=args.node, node=here), at=at) for each in devices]
        fencing.keep(host, here, fencing.live(host), made)
    return Cycle(has_passed=code == 0, told=_read(shown.getvalue()) if shown is not None else None)


def _drill(args: argparse.Namespace, host: Host) -> int:
    from kvmha.cli import drill

    words = ["drill", "run", POWER_CUT, "--node", args.node, "--destructive"]
    words += ["--confirm", args.confirm] if args.confirm else []
    words += ["--description", args.description] if args.description else []
    words += [word for gate in args.despite for word in ("--despite", gate)]
    words += ["--json"] if args.json else []
    parser = argparse.ArgumentParser(prog="kvmha")
    drill.add(parser.add_subparsers())
    ordered = parser.parse_args(words)
    code: int = ordered.handler(ordered, host)
    return code


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
