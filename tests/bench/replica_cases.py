"""The cases of a DRBD replica, numbers 10 and 11 of the acceptance list, tried on both agents in a node with DRBD.

Whom DRBD itself would not promote is played to both agents: the kernel of these nodes has DRBD 8.4 and one disk each,
so drbdsetup, drbdadm and crm_attribute give way to a program that says what DRBD 9 was recorded to say, and keeps the
score. A device that is held open is a real one.
"""

from __future__ import annotations

from kvmha.record import Record
from tests.bench import calls
from tests.bench.calls import Call, Side
from tests.bench.case import Finding, Outcome
from tests.drbd_recordings import recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvmha.lab.lab import Lab
    from tests.bench.calls import Ran

    Say = Callable[[str], None]

FOLDER = "/run/kvmha-bench"
OLD_SCORE = "1000"
"""A score from before, which must not stay."""

PLAYER = """\
#!/bin/sh
# Stands for DRBD's programs and for crm_attribute, which keeps one score.
folder=/run/kvmha-bench
case "${0##*/} $*" in
    drbdsetup*events2*) cat $folder/events ;;
    drbdadm*--version*) printf 'DRBD_KERNEL_VERSION_CODE=0x090210\\nDRBDADM_VERSION_CODE=0x091600\\n' ;;
    drbdadm*sh-dev*) echo /dev/drbd0 ;;
    drbdadm*dump-xml*) cat $folder/dump ;;
    crm_*' -D'* | crm_*--delete*) : > $folder/score ;;
    crm_*' -v '* | crm_*--update*) for word; do last=$word; done; echo "$last" > $folder/score ;;
    crm_*) cat $folder/score ;;
esac
exit 0
"""

PROGRAMS = ("/usr/sbin/drbdsetup", "/usr/sbin/drbdadm", "/usr/sbin/crm_master", "/usr/sbin/crm_attribute")

PLAY = (
    "unshare", "--mount", "--propagation", "private", "sh", "-ec",
    f'for program in {" ".join(PROGRAMS)}; do mount --bind {FOLDER}/player "$program"; done; exec "$@"', "play",
)  # fmt: skip
"""Words before a command that have it see the player in the place of these programs, and nobody else."""

DUMP = """<config><resource name="bench">
<host name="n1"><volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/ubdb</disk></volume></host>
<host name="n2"><volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/ubdb</disk></volume></host>
</resource></config>
"""

NEGOTIATING = """\
exists resource name:bench role:Secondary suspended:no force-io-failures:no may_promote:no promotion_score:0
exists connection name:bench peer-node-id:1 conn-name:n2 connection:Connecting role:Unknown
exists device name:bench volume:0 minor:0 backing_dev:/dev/ubda disk:Negotiating client:no quorum:yes
exists peer-device name:bench peer-node-id:1 conn-name:n2 volume:0 replication:Off peer-disk:DUnknown peer-client:no
exists -
"""
"""In the words of DRBD 9, from its stream of events: it answers no question while this lasts."""


class ScoreCase(Record):
    """What DRBD says of a replica that it would not promote."""

    name: str
    events: str


SCORE_CASES = (
    ScoreCase(name="the disk is Negotiating, the peer away (DRBD 9)", events=NEGOTIATING),
    ScoreCase(
        name="the disk is Attaching, the peer's was UpToDate (DRBD 9)",
        events=NEGOTIATING.replace("Negotiating", "Attaching").replace("DUnknown", "UpToDate"),
    ),
    ScoreCase(
        name="without a disk by intention, and without quorum (DRBD 9.2.16)",
        events=recorded("9.2.16", "diskless-client-without-quorum").replace("name:r0 ", "name:bench "),
    ),
)
NUMBERS = ("10", "11")
HOLD = "sleep 600 < /dev/drbd0 > /dev/null 2>&1 & echo $! > /run/kvmha-bench/holder"
DEADLINE = 25.0
"""Seconds of a demote or stop; a node like these starts a process in a tenth of a second."""


def try_all(lab: Lab, sides: tuple[Side, ...], wanted: set[str], call: Callable[..., Call], say: Say) -> list[Outcome]:
    """Try the cases of these numbers, all where none is told; ``call`` makes the call of an action."""
    found = []
    for outcome in _outcomes(lab, sides, wanted, call):
        say(f"case {outcome.number}: {outcome.name}")
        for side, finding in zip(sides, (outcome.shell, outcome.ours)):
            say(f"    {side.provider:<10} {'right' if finding.is_right else 'WRONG'}: {finding.did}")
        found.append(outcome)
    return found


def _outcomes(lab: Lab, sides: tuple[Side, ...], wanted: set[str], call: Callable[..., Call]) -> Iterator[Outcome]:
    node = lab.plan.nodes[0].name
    if not wanted or "10" in wanted:
        lab.copy_in(node, f"{FOLDER}/player", PLAYER, mode=0o755)
        lab.copy_in(node, f"{FOLDER}/dump", DUMP)
        for case in SCORE_CASES:
            shell, ours = (_score(lab, node, side, case, call) for side in sides)
            yield Outcome(
                number=10, name=case.name, wanted="no promotion score; an old one goes", shell=shell, ours=ours
            )
    if not wanted or "11" in wanted:
        shell, ours = (_held_open(lab, node, side, call) for side in sides)
        yield Outcome(
            number=11,
            name="a process has the device open",
            wanted="demote ends inside its time and names the process",
            shell=shell,
            ours=ours,
        )


def _score(lab: Lab, node: str, side: Side, case: ScoreCase, call: Callable[..., Call]) -> Finding:
    lab.copy_in(node, f"{FOLDER}/events", case.events)
    lab.copy_in(node, f"{FOLDER}/score", f"{OLD_SCORE}\n")
    # What ours remembers of real states of the same name must neither help nor hinder.
    lab.run(node, "rm", "-f", "/run/kvmha/DRBD/bench", "/var/lib/kvmha/drbd/bench", timeout=60)
    job = calls.job(side, call("monitor", interval=10), node)
    (ran,) = calls.run(lab, node, [job], before=PLAY)
    score = lab.run(node, "cat", f"{FOLDER}/score", timeout=60).out.strip()
    lab.run(node, "rm", "-f", "/run/kvmha/DRBD/bench", "/var/lib/kvmha/drbd/bench", timeout=60)
    said = f"monitor {ran.rc}, {f'score {score}' if score else 'no score'}"
    return Finding(did=_with_reason(said, ran), is_right=not score and not ran.is_killed)


def _held_open(lab: Lab, node: str, side: Side, call: Callable[..., Call]) -> Finding:
    lab.run(node, "drbdsetup", "primary", "0", timeout=60)
    lab.run(node, "sh", "-c", HOLD, timeout=60)
    try:
        made = call("demote").replace(timeout=DEADLINE)
        (ran,) = calls.run(lab, node, [calls.job(side, made, node)])
    finally:
        lab.run(node, "sh", "-c", f"kill $(cat {FOLDER}/holder)", timeout=60, ok=None)
        lab.run(node, "sh", "-c", "until drbdsetup secondary 0; do sleep 0.2; done", timeout=60)
    how = f"KILLED at {DEADLINE:.0f} s" if ran.is_killed else f"{ran.rc} in {ran.wall:.1f} s"
    return Finding(
        did=_with_reason(f"demote {how}", ran), is_right=not ran.is_killed and ran.rc == 1 and "sleep" in ran.reason
    )


def _with_reason(said: str, ran: Ran) -> str:
    return f'{said} "{ran.reason}"' if ran.reason and not ran.is_killed else said
