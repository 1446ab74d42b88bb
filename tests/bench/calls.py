"""How an agent is called in a node, and what came of it: the shell agent and ours, alike to the last variable."""

from __future__ import annotations

import json
import os

from kvmha.lab.plan import LabError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.lab.lab import Lab

METER = "/run/kvmha-bench/meter.py"
PYTHON = "/usr/bin/python3"
GRACE = 30.0
"""Seconds that the meter may take beyond the times of its jobs."""

# What Pacemaker's executor gives every agent (Pacemaker Explained, "OCF resource agents", and lib/services).
EXECUTOR = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "OCF_ROOT": "/usr/lib/ocf",
    "OCF_RA_VERSION_MAJOR": "1",
    "OCF_RA_VERSION_MINOR": "1",
    "OCF_EXIT_REASON_PREFIX": "ocf-exit-reason:",
    "OCF_RESKEY_crm_feature_set": "3.16.2",
    "HA_logfacility": "daemon",
    "HA_LOGFACILITY": "daemon",
    "PCMK_logfacility": "daemon",
    "PCMK_service": "pacemaker-execd",
}


class Side(Record):
    """One of two agents that are compared."""

    provider: str
    kind: str = "VirtualDomain"

    @property
    def name(self) -> str:
        return f"ocf:{self.provider}:{self.kind}"

    @property
    def file(self) -> str:
        return f"/usr/lib/ocf/resource.d/{self.provider}/{self.kind}"


SHELL, OURS = Side(provider="heartbeat"), Side(provider="kvmha")
SIDES = (SHELL, OURS)

SHELL_ADDRESS, OUR_ADDRESS = Side(provider="heartbeat", kind="IPaddr2"), Side(provider="kvmha", kind="FloatingIP")
ADDRESS_SIDES = (SHELL_ADDRESS, OUR_ADDRESS)


class Call(Record):
    """One call of an agent; times in seconds."""

    action: str
    instance: str
    params: dict[str, str]
    timeout: float
    killed_after: float = 0.0
    """When it is killed with its process group; by default when its time is up, as Pacemaker does it."""
    interval: float = 0.0
    meta: dict[str, str] = {}  # noqa: RUF012 (nobody changes it)
    env: dict[str, str] = {}  # noqa: RUF012


class Ran(Record):
    """What one run of a command was; what its way of running cannot tell is 0 (see meter)."""

    rc: int
    is_killed: bool
    out: str
    err: str
    wall: float = 0.0
    cpu: float = 0.0
    processes: int = 0
    threads: int = 0
    programs: int = 0
    largest_kib: int = 0
    together_kib: int = 0

    @property
    def reason(self) -> str:
        """The exit reason as Pacemaker takes it: the last one."""
        return self.err.rpartition("ocf-exit-reason:")[2].strip() if "ocf-exit-reason:" in self.err else ""


class Job(Record):
    """One command for the meter."""

    argv: tuple[str, ...]
    env: dict[str, str]
    timeout: float
    how: str = "timed"


def job(side: Side, call: Call, node: str, how: str = "timed") -> Job:
    """Return the job that calls an agent as the executor of that node does."""
    meta = {"name": call.action, "on_node": node, "timeout": f"{call.timeout * 1000:.0f}", **call.meta}
    if call.interval:
        meta["interval"] = f"{call.interval * 1000:.0f}"
    env = {
        **EXECUTOR,
        "OCF_RESOURCE_INSTANCE": call.instance,
        "OCF_RESOURCE_TYPE": side.kind,
        "OCF_RESOURCE_PROVIDER": side.provider,
        **{f"OCF_RESKEY_{name}": value for name, value in call.params.items()},
        **{f"OCF_RESKEY_CRM_meta_{name}": value for name, value in meta.items()},
        **call.env,
    }
    return Job(argv=(side.file, call.action), env=env, timeout=call.killed_after or call.timeout, how=how)


def install(lab: Lab) -> None:
    """Put the meter into every node."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "meter.py"), encoding="utf-8") as file:
        text = file.read()
    for node in lab.plan.nodes:
        lab.copy_in(node.name, METER, text)


def run(lab: Lab, node: str, jobs: list[Job], *, before: tuple[str, ...] = ()) -> list[Ran]:
    """Run jobs in a node, one after the other; ``before`` are words that go before the meter's own command.

    Raises LabError if the meter itself fails.
    """
    text = json.dumps([{"argv": j.argv, "env": j.env, "timeout": j.timeout, "how": j.how} for j in jobs])
    patience = sum(j.timeout for j in jobs) + GRACE
    done = lab.run(node, *before, PYTHON, "-IS", METER, timeout=patience, ok=None, given=text)
    if done.rc != 0:
        raise LabError(f"the meter in {node} failed: {done.err[-2000:]}")
    return [Ran(**values) for values in json.loads(done.out)]
