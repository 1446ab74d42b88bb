"""One power cut of the host of a guest, and its phases as they were seen from outside and in the nodes' journals."""

from __future__ import annotations

from kvmha.lab import timeline
from kvmha.lab.observation import Observation
from kvmha.lab.plan import LabError
from kvmha.record import Record
from kvmha.tools import cluster_log, crm_mon
from tests.bench.failover_setups import ADDRESS, GUEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.lab import Lab
    from kvmha.tools.crm_mon import ClusterStatus

READY_LIMIT = 240.0
RECOVERY_LIMIT = 180.0
CALM = 3.0
"""Seconds of a cluster in which nothing happens, before the power is cut."""


STEAL = 7
"""proc(5), /proc/stat: the place of the time that was stolen; what follows is counted before it already."""


class PowerCut(Record):
    """What one power cut was, in seconds from the cut; None for what was not seen."""

    victim: str
    was_coordinator: bool
    """The node was the cluster's designated coordinator, whose successor had to be elected first."""
    noticed: float | None
    """Corosync has missed the token."""
    lost: float | None
    """The others have agreed that the node is gone, and Pacemaker knows."""
    fencing_asked: float | None
    fenced: float | None
    start_asked: float | None
    started: float | None
    """The guest's new QEMU process executes."""
    answers: float | None
    """The guest's service answers a client."""
    address: float | None
    """The floating IP, which waits for the start of the guest, answers."""
    ran_twice: bool
    load: float
    """The machine's load average of one minute at the cut."""
    stolen: float
    """Share of the processors' time, from the cut to the end, that the machine's own hypervisor gave to others."""

    @property
    def after_lost(self) -> float | None:
        """From the loss to the answer, less what the guest's own boot took."""
        return None if self.started is None or self.lost is None else self.started - self.lost

    @property
    def boot(self) -> float | None:
        """What the guest's own boot took."""
        return None if self.answers is None or self.started is None else self.answers - self.started


class Cutter:
    """Whoever cuts the power, waits for the return, and gives the power back."""

    def __init__(self, host: Host, lab: Lab) -> None:
        self._host = host
        self._lab = lab

    def cut(self) -> PowerCut:
        """Wait until the cluster is well, cut the power of the guest's host, and see what comes. Raises LabError."""
        self._wait_well()
        with Observation(self._host, self._lab) as seen:
            self._wait_answers(seen)
            seen.read(CALM)
            status = self._status()
            victim = status.resource(GUEST).nodes[0] if status else ""
            coordinator = self._coordinator()
            load = float(self._host.read("/proc/loadavg").split()[0])
            before = self._times()
            at = self._host.wall_clock()
            self._lab.power(victim, "off")
            until = self._host.now() + RECOVERY_LIMIT
            while True:
                seen.read(0.25)
                found = self._phases(seen, victim, at)
                if (found[timeline.ANSWERS] and found["address"]) or self._host.now() > until:
                    break
            seen.read(1.0)
            spent = [last - first for first, last in zip(before, self._times())]
            return PowerCut(
                victim=victim,
                was_coordinator=coordinator == victim,
                noticed=found["noticed"],
                lost=found[timeline.LOST],
                fencing_asked=found[timeline.FENCING_ASKED],
                fenced=found[timeline.FENCING_CONFIRMED],
                start_asked=found[timeline.START_ASKED],
                started=found[timeline.QEMU_RUNNING],
                answers=found[timeline.ANSWERS],
                address=found["address"],
                ran_twice=bool(seen.census.twice),
                load=load,
                stolen=spent[STEAL] / max(sum(spent), 1),
            )

    def _times(self) -> list[int]:
        """Return what all processors have spent their time on."""
        return [int(word) for word in self._host.read("/proc/stat").splitlines()[0].split()[1 : STEAL + 2]]

    def _phases(self, seen: Observation, victim: str, at: float) -> dict[str, float | None]:
        """Return each phase in seconds from the cut."""
        observed = timeline.Observed(
            cut_at=at,
            victim=victim,
            entries=tuple(sorted(seen.entries, key=lambda entry: entry.at)),
            executing=seen.executing(),
            answers=seen.answers,
        )
        moments = timeline.moments(observed, (GUEST, ADDRESS))
        found: dict[str, float | None] = {
            phase: next((m.at - at for m in moments if m.phase == phase and m.subject in (victim, GUEST)), None)
            for phase in timeline.PHASES
        }
        lost = [entry for entry in observed.entries if entry.kind == cluster_log.LOST and entry.at >= at]
        found["noticed"] = next((entry.at - at for entry in lost if not entry.subject), None)
        found[timeline.LOST] = next((entry.at - at for entry in lost if entry.subject == victim), None)
        found["address"] = next(
            (m.at - at for m in moments if m.phase == timeline.ANSWERS and m.subject == ADDRESS), None
        )
        return found

    # ------------------------------------------------------- before and after

    def wait_whole(self) -> None:
        """Wait until the node that was cut off is there again. Raises LabError."""
        self._wait_well()

    def _wait_well(self) -> None:
        """Wait until all nodes and both resources are there."""
        for node in self._lab.plan.nodes:
            self._lab.power(node.name, "on")
        until = self._host.now() + READY_LIMIT
        while self._host.now() < until:
            status = self._status()
            if status is not None and self._is_well(status):
                return
            self._host.sleep(0.5)
        raise LabError(f"the cluster of the lab was not well within {READY_LIMIT:.0f} s")

    def _is_well(self, status: ClusterStatus) -> bool:
        nodes = {node.name for node in status.nodes if node.is_online and not node.is_unclean}
        both = [status.resource(name) for name in (GUEST, ADDRESS)]
        calm = all(resource and len(resource.nodes) == 1 and not resource.pending for resource in both)
        devices = [one for one in status.resources if one.agent.startswith("stonith:")]
        return calm and len(nodes) == len(self._lab.plan.nodes) and all(one.nodes for one in devices)

    def _wait_answers(self, seen: Observation) -> None:
        until = self._host.now() + READY_LIMIT
        while not (seen.answers_now(GUEST) and seen.answers_now(ADDRESS)):
            if self._host.now() > until:
                raise LabError(f"{GUEST} and {ADDRESS} did not answer within {READY_LIMIT:.0f} s")
            seen.read(0.5)

    def _status(self) -> ClusterStatus | None:
        for node in self._lab.plan.nodes:
            if self._lab.leader(node.name) is not None:
                found = crm_mon.parse(self._lab.run(node.name, *crm_mon.ARGV, timeout=30, ok=None).out)
                if found is not None:
                    return found
        return None

    def _coordinator(self) -> str:
        said = self._lab.run(self._lab.plan.nodes[0].name, "crmadmin", "--dc_lookup", "--quiet", timeout=30, ok=None)
        return said.out.split()[-1] if said.out.split() else ""
