"""What is known of how long guests really were away: by the drills and the journals of all nodes."""

from __future__ import annotations

import json

from kvmha.drill import catalogue, journal, outages
from kvmha.drill.records import FENCED
from kvmha.host import CommandError
from kvmha.policy.ledger import Measured
from kvmha.record import Record, plain
from kvmha.tools import cluster_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvmha.drill.reach import Reach
    from kvmha.host import Host

KEPT = "/var/lib/kvmha/outages.json"
"""The real failures that this node has taken guests over in: the journal forgets them some day."""

FIRST_S = 7 * 86_400.0
"""How far back the journal is read the first time."""

MOST = 500
LIMIT = 30.0
SSH_LIMIT = 45.0
AROUND_S = 60.0
"""A drill's fencing may be told a little after its end."""


class Told(Record):
    """What one node tells."""

    measured: tuple[Measured, ...] = ()
    drills: tuple[tuple[float, float], ...] = ()
    """Begin and end of the drills that were run from there, in seconds since the epoch."""


def of_drills(host: Host) -> Told:
    """Return what the drills of this node have measured of guests whose node was taken away."""
    taking = {drill.name for drill in catalogue.DRILLS if drill.leads_to == FENCED}
    known = journal.outcomes(host)
    found = [
        Measured(guest=each.name, seconds=round(each.took, 2), at=outcome.struck_at, drill=outcome.order.drill)
        for outcome in known
        if outcome.order.drill in taking and outcome.struck_at is not None
        for each in outcome.recoveries
        # A client that waited for a guest of another node waited for the network, or a busy machine.
        if each.took is not None and each.started is not None
    ]
    spans = tuple((each.begun_at, each.begun_at + each.took_s + AROUND_S) for each in known)
    return Told(measured=tuple(found), drills=spans)


def here(host: Host, guests: Iterable[str], *, detection_s: float) -> Told:
    """Return all that this node knows; its journal is read on from where it was read last. Never raises: a journal that
    cannot be read tells nothing.
    """
    drills = of_drills(host)
    kept, until = _read(host)
    now = host.wall_clock()
    names = tuple(guests)
    try:
        done = host.run(*cluster_log.brief_argv(max(until, now - FIRST_S), names), timeout=LIMIT, ok=None)
    except CommandError:
        return drills.replace(measured=(*drills.measured, *kept))
    entries = filter(None, map(cluster_log.parse_entry, done.out.splitlines()))
    made = outages.of_journal(entries, names, detection_s=detection_s)
    known = {(each.guest, round(each.at)): each for each in (*kept, *outages.real(made, drills.drills))}
    all_known = tuple(sorted(known.values(), key=lambda each: each.at))[-MOST:]
    # A failure that is under way is read again, as a whole.
    told = {"until": now - outages.SPAN_S - outages.AGAIN_S, "outages": [plain(each) for each in all_known]}
    host.write(KEPT, json.dumps(told), mode=0o600)
    return drills.replace(measured=(*drills.measured, *all_known))


def _read(host: Host) -> tuple[tuple[Measured, ...], float]:
    try:
        told = json.loads(host.read(KEPT))
        return tuple(Measured(**each) for each in told["outages"]), float(told["until"])
    except (OSError, ValueError, KeyError, TypeError):
        return (), 0.0


def elsewhere(reach: Reach, nodes: Iterable[str]) -> tuple[tuple[Told, ...], dict[str, str]]:
    """Return what other nodes tell, and why some do not."""
    found, silent = [], {}
    for node in nodes:
        try:
            done = reach.run(node, "kvmha", "rto", "--measured", timeout=SSH_LIMIT)
            told = json.loads(done.out)
            found.append(
                Told(
                    measured=tuple(Measured(**each) for each in told["measured"]),
                    drills=tuple((float(begin), float(end)) for begin, end in told["drills"]),
                )
            )
        except (CommandError, ValueError, KeyError, TypeError) as error:
            silent[node] = str(error)
    return tuple(found), silent


def merged(told: Iterable[Told]) -> tuple[Measured, ...]:
    """Return what all nodes together have measured: an outage that was another node's drill is that drill's."""
    known = tuple(told)
    drills = [span for each in known for span in each.drills]
    return outages.real((measured for each in known for measured in each.measured), drills)
