"""Resources of the shell agents become ours while they run, and back.

Invariant: from the first change to the last one the cluster starts and stops nothing that is adopted. Before that
change every resource is in maintenance, which is a block of its own in the configuration; the block goes only when
the new agents have found everything where the old ones had it, every guest with the QEMU process that it had, and
the scheduler, asked beforehand, would leave all of it alone. In every other case the old agents come back.

Only the resources themselves are in maintenance, and not the whole cluster: a node that dies meanwhile is fenced, and
what is not being adopted recovers. Each step may be repeated; what a run left behind when it was interrupted is found
in the configuration, by any node, and the next run goes on from there, in either direction.
"""

from __future__ import annotations

import json

from kvmha.cluster import adopt_evidence, adopt_parameters, adopt_plan
from kvmha.host import CommandError
from kvmha.record import Record, plain
from kvmha.tools import cib, crm_resource, crm_simulate
from kvmha.tools.cib import history, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kvmha.cluster.adopt_evidence import Run, Standing
    from kvmha.cluster.adopt_plan import Plan
    from kvmha.host import Host

FOLDER = "/var/lib/kvmha/adopt"
"""What resources were before their adoption: one file each, on the node where it was begun."""

STILL = 300.0
"""Seconds that the cluster may take to finish what it is doing."""

PROBED = 120.0
"""Seconds until the new agents have answered on every node."""

REFRESHED = 60.0
"""Seconds that the cluster may take to forget what it knows of a resource."""


class AdoptError(Exception):
    """The adoption did not succeed; the message says why, and how things stand now."""


class Proof(Record):
    """What became of one resource."""

    resource: str
    agent: str
    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    """Node and role of each instance."""
    runs: tuple[tuple[Run, Run], ...]
    """Of a guest: its run before and after."""
    restarts_on: tuple[str, ...] = ()
    """Nodes on which the next change of any parameter restarts it, until it has been moved or started once."""

    @property
    def is_same(self) -> bool:
        """Whether it is where it was, and no guest has another process."""
        return self.before == self.after and not any(first.became(last) for first, last in self.runs)

    @property
    def is_proven(self) -> bool:
        """Whether every guest's run could be told, before and after."""
        return self.is_same and all(first.is_known and last.is_known for first, last in self.runs)


def originals(host: Host) -> dict[str, tuple[str, Mapping[str, str]]]:
    """Return agent and parameters that resources had before their adoption, as far as this node was told."""
    found: dict[str, tuple[str, Mapping[str, str]]] = {}
    for name in host.names(FOLDER):
        try:
            words = json.loads(host.read(f"{FOLDER}/{name}"))
            found[words["resource"]] = (words["agent"], dict(words["params"]))
        except (OSError, ValueError, KeyError, TypeError):
            # A draft of a write that was interrupted, or somebody else's file.
            continue
    return found


class Adoption:
    """One run of a plan; ``progress`` is told of each step before it is taken."""

    def __init__(self, host: Host, plan: Plan, progress: Callable[[str], None]) -> None:
        self._host = host
        self._plan = plan
        self._say = progress
        self._names = tuple(swap.resource for swap in plan.swaps)
        self._places: dict[str, Standing] = {}
        self._runs: dict[tuple[str, str], Run] = {}

    def run(self) -> tuple[Proof, ...]:
        """Do it and return the proofs. Raises AdoptError, and CommandError where the cluster does not answer."""
        self._say("wait until the cluster has nothing to do")
        crm_resource.wait_idle(self._host, timeout=STILL)
        self._note()
        self._remember()
        self._say(f"maintenance of {', '.join(self._names)}, and of nothing else")
        cib.change(self._host, lambda root: adopt_plan.hold(root, self._plan))
        crm_resource.wait_idle(self._host, timeout=STILL)
        try:
            self._say("replace the agents")
            cib.change(self._host, lambda root: adopt_plan.replace(root, self._plan))
            self._ask({swap.resource: swap.new_agent for swap in self._plan.swaps})
            self._refuse_change()
        except (AdoptError, CommandError) as error:
            self._undo(error)
        self._release()
        return tuple(self._with_restarts(proof) for proof in self._proofs(must_hold=True))

    # ------------------------------------------------------------------- steps

    def _note(self) -> None:
        """Take down where everything is, and refuse what is not well."""
        status = adopt_evidence.look(self._host)
        if not status.is_quorate:
            raise AdoptError("the cluster has no quorum, and would take no change; nothing was changed")
        unclean = [node.name for node in status.nodes if node.is_unclean]
        if unclean:
            raise AdoptError(f"{', '.join(unclean)} waits for its fencing; nothing was changed")
        self._places = adopt_evidence.standings(status, self._names)
        failed = [name for name, place in self._places.items() if place.is_failed]
        if failed:
            said = "crm_resource --cleanup clears that once its cause is gone"
            raise AdoptError(f"{', '.join(failed)} failed; {said}; nothing was changed")
        self._refuse_parted()
        self._runs = {(run.guest, run.node): run for run in self._look_at_runs()}

    def _refuse_parted(self) -> None:
        """Refuse replicas that are not in step: the new agent would take their scores away."""
        replicas = [swap for swap in self._plan.swaps if swap.is_replica and self._plan.direction == adopt_plan.FORTH]
        attributes = state.transient(cib.tree(cib.live(self._host))) if replicas else {}
        for swap in replicas:
            best = (adopt_parameters.scores_of(swap.new_params) or (adopt_parameters.BEST_SCORE,))[-1]
            nodes = sorted({node for node, _role in self._places[swap.resource].nodes})
            why = adopt_evidence.why_not_in_step(swap.resource, best, nodes, attributes)
            if why:
                raise AdoptError(f"{swap.resource}: {why}; kvmha drbd status tells more; nothing was changed")

    def _look_at_runs(self) -> tuple[Run, ...]:
        guests = {swap.resource: {**swap.new_params, **swap.old_params} for swap in self._plan.swaps if swap.is_guest}
        return adopt_evidence.runs(self._host, guests, self._places)

    def _remember(self) -> None:
        """Write down what the resources are, for the way back; what an earlier run wrote down is older and stays."""
        for swap in self._plan.swaps:
            path = f"{FOLDER}/{swap.resource}.json"
            if self._plan.direction == adopt_plan.FORTH and not swap.is_done:
                words = {"resource": swap.resource, "agent": swap.old_agent, "params": dict(swap.old_params)}
                self._host.write(path, json.dumps(words, indent=1, sort_keys=True) + "\n", mode=0o600)

    def _ask(self, agents: Mapping[str, str]) -> None:
        """Have the cluster forget what it knows, and wait until these agents have answered on every node."""
        for name in self._names:
            self._say(f"ask {agents[name]} for {name} on every node")
            crm_resource.refresh(self._host, name, timeout=REFRESHED)
        online = {node.name for node in adopt_evidence.look(self._host).nodes if node.is_online and not node.is_guest}
        until = self._host.now() + PROBED
        wanted = cib.read(cib.live(self._host))
        away = {name: adopt_evidence.unasked(wanted, name, online) for name in self._names}
        lacking = {(node, name) for name in self._names for node in online - away[name]}
        while lacking:
            found = history.executed(cib.tree(cib.live(self._host)))
            asked = {(each.node, each.resource.partition(":")[0]): each for each in found if each.rc != history.PENDING}
            lacking = {
                (node, name) for node, name in lacking if (node, name) not in asked
                or asked[node, name].agent != agents[name]
            }  # fmt: skip
            if lacking and self._host.now() > until:
                said = ", ".join(f"{name} on {node}" for node, name in sorted(lacking))
                raise AdoptError(f"the cluster did not ask for {said} within {PROBED:.0f} s")
            self._host.sleep(0.3 if lacking else 0.0)
        crm_resource.wait_idle(self._host, timeout=STILL)

    def _refuse_change(self) -> None:
        """Raise AdoptError unless all is where it was, and the scheduler would leave it there."""
        self._proofs(must_hold=True)
        root = cib.tree(cib.live(self._host))
        adopt_plan.release(root, self._plan)
        planned = crm_simulate.simulate(self._host, cib.text_of(root)).disturbs(*self._names)
        if planned:
            said = ", ".join(f"{change.action} {change.subject} ({change.reason})" for change in planned)
            raise AdoptError(f"after maintenance the cluster would {said}")

    def _release(self) -> None:
        self._say("end of maintenance")
        cib.change(self._host, lambda root: adopt_plan.release(root, self._plan))
        crm_resource.wait_idle(self._host, timeout=STILL)

    def _undo(self, error: Exception) -> None:
        """Bring the old agents back and raise AdoptError, which says how things stand."""
        self._say(f"{error}; back to the agents from before")
        try:
            cib.change(self._host, lambda root: adopt_plan.put_back(root, self._plan))
            self._ask({swap.resource: swap.new_agent if swap.is_done else swap.old_agent for swap in self._plan.swaps})
            self._refuse_change()
        except (AdoptError, CommandError) as second:
            said = f"{', '.join(self._names)} stay in maintenance, and run on as they are"
            raise AdoptError(f"{error}; and on the way back: {second}. {said}; run it again, or with --back") from None
        self._release()
        raise AdoptError(f"{error}; everything has the agent that it had, and runs on") from None

    # ------------------------------------------------------------------- proof

    def _proofs(self, *, must_hold: bool) -> tuple[Proof, ...]:
        places = adopt_evidence.standings(adopt_evidence.look(self._host), self._names)
        runs = {(run.guest, run.node): run for run in self._look_at_runs()}
        proofs = tuple(
            Proof(
                resource=swap.resource,
                agent=swap.new_agent,
                before=self._places[swap.resource].nodes,
                after=places[swap.resource].nodes,
                runs=tuple((self._runs[key], runs[key]) for key in sorted(self._runs) if key[0] == swap.resource),
            )
            for swap in self._plan.swaps
        )
        wrong = [proof for proof in proofs if not proof.is_same]
        failed = [name for name, place in places.items() if place.is_failed]
        if must_hold and (wrong or failed):
            words = [f"{each.resource} was {_where(each.before)} and is {_where(each.after)}" for each in wrong]
            words += [f"{first} became {last}" for each in wrong for first, last in each.runs if first.became(last)]
            raise AdoptError("; ".join([*words, *(f"{name} has failed" for name in failed)]))
        return proofs

    def _with_restarts(self, proof: Proof) -> Proof:
        """Add where Pacemaker has forgotten what may be reloaded: with 3.0 a probe's result is without that list."""
        if not proof.agent.startswith("ocf:kvmha:"):
            return proof
        results = history.executed(cib.tree(cib.live(self._host)))
        known = {each.node for each in results if each.resource.partition(":")[0] == proof.resource and each.can_reload}
        return proof.replace(restarts_on=tuple(node for node, _role in proof.after if node not in known))


def _where(nodes: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{role.lower()} on {node}" for node, role in nodes) or "nowhere"


def as_json(proof: Proof) -> dict[str, object]:
    """Return a proof as the values of a JSON document."""
    words: dict[str, object] = plain(proof)
    return {**words, "is_same": proof.is_same, "is_proven": proof.is_proven}
