"""kvmha preflight: whether a guest could move, why not, and what it would take."""

from __future__ import annotations

import argparse
import json
import sys

from kvmha.errors import UserError
from kvmha.policy import migration, movability
from kvmha.record import plain
from kvmha.tools import domain_devices, domain_xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.host import Host
    from kvmha.policy.forecast import Forecast
    from kvmha.policy.migration import Preflight
    from kvmha.policy.movability import Reason

VERDICTS = {
    movability.LIVE: "can move live",
    movability.COLD: "can move only with downtime: shut down, and started there",
    movability.REFUSED: "cannot move there",
}
CODES = {movability.LIVE: 0, movability.COLD: 1, movability.REFUSED: 1}


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "preflight",
        help="say whether a guest could move now, and what it would take",
        description="Say whether a guest could move now: live, only with downtime, or not at all; why; and how long a "
        "live move would take. Nothing is changed. With --domain-xml a definition is judged without a cluster. Exit "
        "code 0: live; 1: not live, on no target that was looked at.",
    )
    parser.add_argument("guest", metavar="GUEST", nargs="?", help="a resource of ocf:kvmha:VirtualDomain")
    parser.add_argument("--to", metavar="NODE", help="this target only; without it all other nodes are looked at")
    parser.add_argument("--domain-xml", metavar="FILE", help="judge this definition, and no guest of a cluster")
    parser.add_argument("--measure-path", action="store_true", help="send 32 MiB to see what the path carries")
    parser.add_argument("--no-probe", action="store_true", help="do not measure for a second how fast the guest writes")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler=handler)


def handler(args: argparse.Namespace, host: Host) -> int:
    """Judge a definition, or look at a guest and its targets."""
    if bool(args.guest) == bool(args.domain_xml):
        raise UserError("name a guest of the cluster, or a definition with --domain-xml")
    if args.domain_xml:
        if args.to:
            raise UserError("--to names a node of a cluster, and --domain-xml judges without one")
        return _definition(args, host)
    from kvmha.cli.moving import decided, forecasting
    from kvmha.cli.moving.sight import Sight

    sight = Sight(host)
    sight.measures_path = args.measure_path
    guest = sight.guest(args.guest)
    targets = [sight.node(args.to)] if args.to else [node for node in sight.nodes if (node,) != guest.nodes]
    found: list[tuple[Preflight, Forecast | None]] = []
    for target in targets:
        view = sight.view(guest, target)
        preflight = migration.decide(view)
        decided.target(host, view, preflight, asked="preflight")
        made = None
        if preflight.verdict == movability.LIVE and view.guest.memory_mib:
            basis = forecasting.basis(
                host, guest, view.path, memory_mib=view.guest.memory_mib, measures=not args.no_probe and not found
            )
            made = forecasting.make(guest, basis)
        found.append((preflight, made))
    if args.json:
        print(json.dumps({"guest": guest.name, "targets": [_as_json(*each) for each in found]}))
    else:
        for preflight, made in found:
            _show(preflight, made)
    return min((CODES[preflight.verdict] for preflight, _ in found), default=1)


def _definition(args: argparse.Namespace, host: Host) -> int:
    try:
        text = host.read(args.domain_xml)
    except OSError as error:
        raise UserError(f"{args.domain_xml}: {error.strerror}") from None
    try:
        reasons = movability.judge(domain_devices.parse(text))
        # libvirt defines nothing without a name, and needs no entities either.
        domain_xml.parse_identity(text.encode())
    except ValueError as error:
        raise UserError(f"{args.domain_xml} is no definition of a domain: {error}") from None
    verdict = movability.verdict(reasons)
    if args.json:
        print(json.dumps({"verdict": verdict, "reasons": plain(reasons)}))
    else:
        print(f"{args.domain_xml}: {VERDICTS[verdict].replace(' there', '')}")
        _list(reasons)
    return CODES[verdict]


def _as_json(preflight: Preflight, made: Forecast | None) -> dict[str, object]:
    return {**plain(preflight), "forecast": plain(made)}


def _show(preflight: Preflight, made: Forecast | None) -> None:
    print(f"{preflight.guest} to {preflight.target}: {VERDICTS[preflight.verdict]}")
    _list(preflight.reasons)
    if made is not None:
        print(f"    forecast: {told(made)}")
        for advice in made.advice:
            print(f"              {advice}")
    sys.stdout.flush()


def told(made: Forecast) -> str:
    """Return a forecast in one line."""
    return (
        f"{made.seconds:.0f} s, a pause of about {made.downtime_ms} ms, {made.means}, arrives with a probability of "
        f"{made.probability:.0%} ({made.chain})"
    )


def _list(reasons: tuple[Reason, ...]) -> None:
    for reason in reasons:
        if reason.effect != movability.ALLOWS:
            print(f"    {reason.effect}: {reason.said}")
