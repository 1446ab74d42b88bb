"""What each action on a DRBD replica costs, ocf:linbit:drbd's and ours, on real DRBD in a node on a kernel of its own.

On such a node (User Mode Linux) a process costs about ten times what it does elsewhere, for both agents and for the
yardstick alike; the multiples are what to look at. The nodes have no cluster: neither agent's score is taken.
"""

from __future__ import annotations

from kvmha.lab.plan import LabError
from tests.bench import calls
from tests.bench.calls import EXECUTOR, Call, Job, Side
from tests.bench.speed import YARDSTICK, Aim, Speed, in_turns, row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.lab.lab import Lab
    from tests.bench.speed import Row

SHELL_REPLICA, OUR_REPLICA = Side(provider="linbit", kind="drbd"), Side(provider="kvmha", kind="DRBD")
REPLICA_SIDES = (SHELL_REPLICA, OUR_REPLICA)

QUESTION = "drbdsetup events2 --now"
MOST_YARDSTICKS = 2.0
"""The aim of the monitor: so many times the bare interpreter, beside the one question to the kernel."""

MOST_RUNS = 5
"""Rounds; one takes about ten seconds on such nodes."""

META = {
    "clone": "0", "clone_max": "2", "clone_node_max": "1", "notify": "true",
    "promoted_max": "1", "promoted_node_max": "1", "master_max": "1", "master_node_max": "1",
}  # fmt: skip

CONFIGURATION = """\
resource bench {
    net { protocol C; }
    disk { c-plan-ahead 0; resync-rate 100M; }
    device /dev/drbd0; disk /dev/ubdb; meta-disk internal;
    on n1 { address 10.77.1.11:7789; }
    on n2 { address 10.77.1.12:7789; }
}
"""
SET_UP = """\
sed -i 's/usage-count yes/usage-count no/' /etc/drbd.d/global_common.conf
modprobe drbd
drbdadm create-md --force bench
# drbdadm gives each of its steps five seconds, which on a busy machine can be too few.
for _ in 1 2 3 4 5; do drbdadm adjust bench && break; done
"""
MINUTE = 60.0


def prepare(lab: Lab) -> None:
    """Make two replicas on two nodes that are up and whose data disks are empty. Raises LabError."""
    calls.install(lab)
    for one in lab.plan.nodes:
        lab.copy_in(one.name, "/etc/drbd.d/bench.res", CONFIGURATION)
        lab.run(one.name, "sh", "-c", SET_UP, timeout=2 * MINUTE)
    _connect(lab, lab.plan.nodes[0].name)


def clear(lab: Lab) -> None:
    """Give the data disks back. Raises LabError."""
    for one in lab.plan.nodes:
        lab.run(one.name, "sh", "-c", "drbdsetup down bench && rm /etc/drbd.d/bench.res", timeout=2 * MINUTE)


def measure(lab: Lab, runs: int, say: Callable[[str], None]) -> Speed:
    """Measure on two nodes with replicas that are in step."""
    node = lab.plan.nodes[0].name
    say(f"replica: {runs} rounds of monitor, probe, validate-all and meta-data of both agents")
    actions: dict[str, Callable[[Side], Call]] = {
        "monitor": lambda _side: call("monitor", interval=10),
        "probe": lambda _side: call("monitor"),
        "probe, no such resource": lambda _side: call("monitor", "absent"),
        "validate-all": lambda _side: call("validate-all"),
        "meta-data": lambda _side: call("meta-data"),
    }
    lab.run(node, "drbdsetup", "primary", "0", timeout=MINUTE)
    rows = in_turns(lab, node, REPLICA_SIDES, actions, runs)
    question = _question(lab, node, runs, rows[0].cpu)
    lab.run(node, "drbdsetup", "secondary", "0", timeout=MINUTE)
    unpromoted = {"monitor, unpromoted": actions["monitor"]}
    rows = [rows[0], question, *rows[1:], *in_turns(lab, node, REPLICA_SIDES, unpromoted, runs)[1:]]
    return Speed(rows=tuple(rows), aims=aims(rows))


def _connect(lab: Lab, node: str) -> None:
    """Wait until both sides are connected, and call their empty disks the same."""
    for _ in range(60):
        if "connection:Connected" in lab.run(node, "drbdsetup", "events2", "--now", "bench", timeout=MINUTE).out:
            lab.run(node, "drbdsetup", "new-current-uuid", "--clear-bitmap", "0", timeout=MINUTE)
            return
        lab.run(node, "sleep", "1", timeout=MINUTE)
    raise LabError("the two nodes' DRBD does not connect")


def call(action: str, resource: str = "bench", interval: float = 0.0) -> Call:
    """Return the call of an action as the executor makes it for a promotable clone."""
    return Call(
        action=action,
        instance=f"drbd-{resource}",
        params={"drbd_resource": resource},
        timeout=120,
        interval=interval,
        meta=META,
    )


def _question(lab: Lab, node: str, runs: int, yardstick: float) -> Row:
    argv = ("/usr/sbin/drbdsetup", "events2", "--now", "bench")
    jobs = [Job(argv=argv, env=dict(EXECUTOR), timeout=30, how=how) for how in (*["timed"] * (runs + 1), "counted")]
    done = calls.run(lab, node, jobs)
    return row(QUESTION, "", done[1:-1], done[-1], yardstick)


def aims(rows: list[Row]) -> tuple[Aim, ...]:
    """Return what was aimed at with the monitor, and what came of it."""
    found = {(one.action, one.agent): one for one in rows}
    yardstick, question = found[YARDSTICK, ""], found[QUESTION, ""]
    shell, ours = (found["monitor", side.name] for side in REPLICA_SIDES)
    multiple = (ours.cpu - question.cpu) / yardstick.cpu
    what = f"processor time beside one {QUESTION}, times {YARDSTICK}, at most"
    return (
        Aim(what=what, aim=MOST_YARDSTICKS, measured=multiple, is_reached=multiple <= MOST_YARDSTICKS),
        _more("times less processor time than the shell agent, more than", shell.cpu / ours.cpu),
        _more("times fewer processes than the shell agent, more than", shell.processes / ours.processes),
    )


def _more(what: str, measured: float) -> Aim:
    return Aim(what=what, aim=1.0, measured=measured, is_reached=measured > 1.0)
