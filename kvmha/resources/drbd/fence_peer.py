"""The handlers that DRBD calls when a node that may write has lost a peer (fence-peer), and when it is well again.

Invariant: DRBD is told that the peer is out of the way only once the peer is off, or the constraint that keeps it from
promotion is in the cluster's configuration. While that is not so the I/O stays frozen, and the handler ends in its
time.

DRBD 8.4 calls ``unfence-peer`` on the node that fenced and ``after-resync-target`` on the one that was behind (seen
with 8.4.11); DRBD 9 calls ``unfence-peer``. One program serves all of them, and any of them may be called twice.
"""

from __future__ import annotations

import os
import sys

from kvmha.host import CommandError, CommandFailed, Host
from kvmha.ocf.agent import Agent
from kvmha.ocf.env import OcfEnv
from kvmha.policy import peer_fencing, promotion, two_primaries
from kvmha.policy.peer_data import view_of
from kvmha.policy.peer_fencing import BROKEN, CONSTRAIN, FENCED, GIVE_UP, OUTDATED, SHOOT, Verdict
from kvmha.resources.drbd import cluster_view, knowledge, looking, unfence, window
from kvmha.resources.drbd.params import PARAMS
from kvmha.tools import cibadmin, crm_mon, drbd, stonith_admin
from kvmha.tools.drbd import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from kvmha.policy.peer_data import NodeView
    from kvmha.policy.replica import Replica
    from kvmha.tools.cibadmin import Constraints

TIMEOUT = 120.0
"""Seconds that a peer may take to be fenced; above what a cluster's stonith-timeout is, which is 60 s by default."""

PROMOTING = 20.0
"""Seconds for a node that is about to be promoted: its drbdadm waits in the kernel for the handler and cannot be killed
(seen with 8.4.11), and the agent has looked at the cluster before it asked.
"""

LIMIT = 20.0
"""Seconds for one question to the cluster, in which it may have to elect a coordinator."""

RESUME = 10.0
"""Seconds for the one look of a monitor that finds the I/O frozen."""

POLL = 0.5
"""Seconds between two looks at the cluster."""

TARGET_WAITS = 15.0
"""Seconds for which the target of a move lets the source act first: the guest is still there."""


class Handler(Agent):
    """One call of a handler: what the agents' own functions expect to be called with."""

    name = "drbd-fence-peer"
    shortdesc = longdesc = ""
    params = tuple(param for param in PARAMS if param.name in ("drbd_resource", "drbdconf", "node_map"))
    actions = ()


def fence(call: Handler, peer: str, *, is_patient: bool = True) -> int:
    """Deal with a peer that is away, and return what DRBD is to be told; without patience after one look."""
    resource = looking.resource_of(call)
    begin = call.host.now()
    said = ""
    while True:
        verdict, seen, is_promoted = _judge(call, resource, peer, waited=call.host.now() - begin)
        if not is_promoted:
            call.until = min(call.until, begin + PROMOTING)
        if verdict.reason != said:
            said = verdict.reason
            call.report.log(f"{resource}: {peer} is not connected: {said}", warning=True)
        if verdict.act == CONSTRAIN and seen is not None and _constrain(call, resource, seen, peer):
            _keep(call, resource, peer)
            return verdict.code
        if verdict.act == SHOOT and is_patient:
            _shoot(call, peer)
        if verdict.act == GIVE_UP or call.left(POLL) <= 0 or not is_patient:
            return verdict.code if verdict.act == GIVE_UP else BROKEN
        call.host.sleep(POLL)


def _judge(call: Handler, resource: str, peer: str, *, waited: float) -> tuple[Verdict, Constraints | None, bool]:
    """Look at everything once; what cannot be seen is waited for. Return also whether this node is promoted."""
    replica = None
    try:
        replica = _replica(call, resource)
        seen = cibadmin.read(call.host, resource, timeout=min(LIMIT, call.left() + 1))
        node, is_quorate = _node(call, resource, peer, seen)
    except (CommandError, ValueError) as error:
        is_promoted = replica is None or replica.is_promoted
        return Verdict(act=peer_fencing.WAIT, code=BROKEN, reason=str(error)), None, is_promoted
    between = seen.between(own(call), cluster_node(call, peer))
    verdict = peer_fencing.judge(
        replica,
        node,
        is_quorate=is_quorate,
        why_stale=promotion.why_stale(replica, knowledge.read(call.host, resource)) if replica else None,
        excluded=between is not None and between.node == own(call),
        # The target of a move becomes the one that acts when the source has not.
        is_source=window.side(call.host, resource) != two_primaries.TARGET or waited > TARGET_WAITS,
    )
    return verdict, seen, replica is None or replica.is_promoted


def _replica(call: Handler, resource: str) -> Replica | None:
    seen = drbd.replica(call.host, resource, timeout=drbd.TIMEOUT)
    return None if seen is None else looking.named(seen, {"peer": call.env.params.get("peer", "")})


def _node(call: Handler, resource: str, peer: str, seen: Constraints) -> tuple[NodeView | None, bool]:
    status = crm_mon.look(call.host, timeout=min(LIMIT, call.left() + 1))
    if status is None:
        return None, False
    asker = call if seen.holder is None else with_instance(call, seen.holder.primitive, seen.holder.params)
    return view_of(peer, cluster_view.of(asker, resource, status)), status.is_quorate


def _constrain(call: Handler, resource: str, seen: Constraints, peer: str) -> bool:
    """Keep the cluster from promoting the peer; tell whether it is kept so."""
    mine, theirs = own(call), cluster_node(call, peer)
    if seen.between(mine, theirs) is not None:
        return True
    if seen.holder is None:
        call.report.log(f"{resource}: the cluster has neither a DRBDPrimary nor a promotable clone of it", warning=True)
        return False
    # The mark comes first: a constraint without one would not be looked for by the monitor.
    unfence.remember(call.host, resource)
    xml = cibadmin.exclusion_xml(resource, seen.holder, own=mine, peer=theirs)
    try:
        call.host.run(*cibadmin.create_argv(xml), timeout=min(LIMIT, call.left() + 1))
    except CommandFailed as error:
        if error.done.rc not in cibadmin.EXISTS:
            call.report.log(f"{resource}: {error}", warning=True)
        # If the peer was first the next look shows it.
        return False
    except CommandError as error:
        call.report.log(f"{resource}: {error}", warning=True)
        return False
    call.report.log(f"{resource}: {theirs} may not be promoted until it has this node's data")
    return True


def _shoot(call: Handler, peer: str) -> None:
    """Have the peer fenced; the next look shows whether it was."""
    node = cluster_node(call, peer)
    call.report.log(f"has {node} fenced", warning=True)
    try:
        call.host.run(*stonith_admin.reboot_argv(node), timeout=max(call.left() - POLL, 1.0))
    except CommandError as error:
        call.report.log(f"{node} was not fenced: {error}", warning=True)


def _keep(call: Handler, resource: str, peer: str) -> None:
    """Keep that the peer is behind from now on; DRBD itself knows it too."""
    try:
        knowledge.fenced(call.host, resource, (peer,), call.host.wall_clock())
    except OSError as error:
        call.report.log(f"{resource}: what is known of {peer} cannot be kept: {error}", warning=True)


def resume(agent: Agent, replica: Replica) -> None:
    """Let the I/O go on that a handler left frozen at the end of its time, if the peer is out of the way by now.

    DRBD does not ask again until the connection is lost once more. A failure is only logged: the next monitor tries it.
    """
    names = [peer.name for peer in replica.peers if not peer.agrees and not peer.is_client]
    params = {name: str(agent.values.get(name, "")) for name in ("drbd_resource", "drbdconf", "node_map")}
    for name in names:
        env = OcfEnv(action="monitor", instance=agent.env.instance, params={**params, "peer": name}, timeout=RESUME)
        if fence(Handler(env, agent.host), name, is_patient=False) not in (OUTDATED, FENCED):
            return
    for argv in commands.resume_argvs(replica):
        agent.host.run(*argv, timeout=min(LIMIT, max(agent.left(), 1.0)))
    agent.report.log(f"{replica.resource}: its I/O goes on, {', '.join(names)} being out of the way")


def release(call: Handler, peer: str) -> int:
    """Let the cluster promote both sides again."""
    resource = looking.resource_of(call)
    try:
        unfence.release(call, resource, between=(own(call), cluster_node(call, peer)))
    except (CommandError, ValueError) as error:
        # The monitor of the promoted node does it later.
        call.report.log(f"{resource}: {error}", warning=True)
        return BROKEN
    return 0


# ---------------------------------------------------------------------------- names


def own(call: Agent) -> str:
    """Return the cluster's name for this node."""
    return cluster_node(call, looking.own_name(call))


def cluster_node(call: Agent, name: str) -> str:
    """Return the cluster's name for a node that DRBD calls ``name``."""
    return dict(cluster_view.name_pairs(str(call.values.get("node_map", "")))).get(name, name)


def with_instance(call: Handler, instance: str, params: Mapping[str, str]) -> Handler:
    """Return the call as one of the resource in the cluster, with the names of nodes that it was given."""
    given = {**call.env.params, "node_map": params.get("node_map", "")}
    after = Handler(call.env.replace(instance=instance, params=given), call.host)
    after.until = call.until
    return after


def peer_of(environ: Mapping[str, str]) -> str:
    """Return DRBD's name of the peer that a handler is called for, or nothing.

    drbdadm of 8.4 gives DRBD_PEER; DRBD 9 the number of the peer, and the names of all nodes by number.
    """
    number = environ.get("DRBD_PEER_NODE_ID", "")
    return environ.get(f"DRBD_NODE_ID_{number}", "") or environ.get("DRBD_PEER", "") or _only(environ)


def _only(environ: Mapping[str, str]) -> str:
    names = environ.get("DRBD_PEERS", "").split()
    return names[0] if len(names) == 1 else ""


def main(act: str) -> NoReturn:
    """Be the handler's process; ``act`` is ``fence`` or ``release``, the one argument the seconds it may take."""
    os._exit(run(act, sys.argv[1:], os.environ, Host()))


def run(act: str, arguments: list[str], environ: Mapping[str, str], host: Host) -> int:
    """Serve one call, and return the exit code."""
    resource, peer = environ.get("DRBD_RESOURCE", ""), peer_of(environ)
    seconds = float(arguments[0]) if arguments[:1] and arguments[0].isdigit() else TIMEOUT
    params = {"drbd_resource": resource, "drbdconf": environ.get("DRBD_CONF", ""), "peer": peer}
    call = Handler(OcfEnv(action="monitor", instance=resource or "?", params=params, timeout=seconds), host)
    if not resource or not peer:
        call.report.log("DRBD called without DRBD_RESOURCE, or without saying which peer", warning=True)
        return BROKEN
    try:
        if act == "fence":
            return fence(_with_names(call, resource), peer)
        return release(_with_names(call, resource), peer)
    except (CommandError, OSError, ValueError) as error:
        call.report.log(f"{resource}: {error}", warning=True)
        return BROKEN


def _with_names(call: Handler, resource: str) -> Handler:
    """Take the names of nodes from the cluster's configuration, if it can be read by now."""
    try:
        holder = cibadmin.read(call.host, resource, timeout=LIMIT).holder
    except (CommandError, ValueError):
        return call
    return call if holder is None else with_instance(call, holder.primitive, holder.params)
