"""Bringing a replica up, unpromoted."""

from __future__ import annotations

from kvmha.host import CommandError, CommandFailed, CommandMissing, CommandTimeout
from kvmha.ocf import codes, state_file
from kvmha.ocf.agent import OcfError
from kvmha.policy.replica import PASSING, STANDALONE, Replica
from kvmha.resources.drbd import demoting, looking, scoring, telling, validation
from kvmha.tools import drbd
from kvmha.tools.drbd import commands, configuration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent
    from kvmha.tools.drbd.configuration import Configuration

STEP = 0.2
"""Seconds between two looks."""

RESERVE = 5.0
"""Seconds to be left at the end of a start for the score and the account."""

HURRIED, NO_METADATA = "did not terminate within", "No valid meta data found"
"""What drbdadm says (drbd-utils 9.22) of a step that took too long, and of a disk that DRBD was never given."""


def start(agent: Agent) -> int:
    """Bring the resource up and wait for its disk and, for a while, for its peers."""
    resource = looking.resource_of(agent)
    found = validation.check_node(agent, resource)
    _load_module(agent)
    was_up = looking.replica_of(agent, resource) is not None
    _begin(agent, resource, found, is_new_life=not was_up)
    _adjust(agent, resource)
    _wait_for_devices(agent, resource, found)
    _wait_for_disk(agent, resource)
    _wait_for_peers(agent, resource)
    demoting.demote(agent)
    look = looking.look(agent, resource)
    if look is None:
        raise OcfError(codes.ERR_GENERIC, f"{resource} went down again while it was brought up")
    look = telling.keep(agent, resource, look)
    scoring.keep(agent, resource, look, anew=True)
    _warn_without_fencing(agent, resource)
    return codes.SUCCESS


def _begin(agent: Agent, resource: str, found: Configuration, *, is_new_life: bool) -> None:
    """Write down, before anything is changed, what stop and monitor will want to know."""
    words = state_file.read(agent.host, looking.NAME, resource)
    if is_new_life or "life" not in words:
        # What the others were told before the last stop holds until it is taken back.
        words = {"life": looking.new_life(agent), "told": words.get("told", "")}
    peers = found.peers_of(looking.own_name(agent))
    unknown = validation.unknown_nodes(agent, resource, found)
    state_file.write(
        agent.host,
        looking.NAME,
        resource,
        {
            **words,
            "instance": agent.env.instance,
            **looking.peer_words(peers),
            "unknown": " ".join(unknown),
        },
    )


def _load_module(agent: Agent) -> None:
    if agent.host.exists(drbd.LOADED):
        return
    try:
        agent.host.run(*commands.LOAD, timeout=agent.left(RESERVE) + 0.1)
    except (CommandFailed, CommandMissing) as error:
        raise OcfError(codes.ERR_INSTALLED, f"the kernel has no module drbd that can be loaded: {error}") from None
    validation.check_version(agent)


def _adjust(agent: Agent, resource: str) -> None:
    argv = commands.adjust_argv(resource, agent.param("drbdconf"))
    while True:
        try:
            agent.host.run(*argv, timeout=agent.left(RESERVE) + 0.1)
            return
        except CommandFailed as error:
            words = configuration.said(error.done.err or error.done.out)
        # drbdadm gives each step of its own five seconds, which on a busy node can be too few; the rest is done anew.
        if HURRIED not in words or not agent.left(2 * RESERVE):
            break
        agent.host.sleep(STEP)
    # Metadata are made once by an administrator; no other attempt on this node will find any.
    code = codes.ERR_INSTALLED if NO_METADATA in words else codes.ERR_GENERIC
    raise OcfError(code, f"{resource} cannot be brought up: drbdadm {words}")


def _wait_for_devices(agent: Agent, resource: str, found: Configuration) -> None:
    """Wait until udev has made the devices under the names that the configuration gives them."""
    own = found.host(looking.own_name(agent))
    for path in own.devices if own else ():
        while not agent.host.exists(path):
            if not agent.left(RESERVE):
                raise OcfError(codes.ERR_GENERIC, f"{resource} is up, and its device {path} has not appeared")
            agent.host.sleep(STEP)


def _wait_for_disk(agent: Agent, resource: str) -> None:
    """Wait for a while until the disk says what its data are worth."""
    until = agent.host.now() + agent.left(RESERVE) / 2
    while agent.host.now() < until:
        replica = looking.replica_of(agent, resource)
        if replica is None or not any(volume.disk in PASSING for volume in replica.volumes):
            return
        agent.host.sleep(STEP)


def _wait_for_peers(agent: Agent, resource: str) -> None:
    until = agent.host.now() + min(float(agent.values.get("wfc_timeout") or 0), agent.left(RESERVE))
    while agent.host.now() < until:
        replica = looking.replica_of(agent, resource)
        if replica is None or all(_is_settled(replica, index) for index in range(len(replica.peers))):
            return
        agent.host.sleep(STEP)


def _is_settled(replica: Replica, index: int) -> bool:
    peer = replica.peers[index]
    return peer.agrees or peer.is_client or peer.connection == STANDALONE


def _warn_without_fencing(agent: Agent, resource: str) -> None:
    """Say once that nothing stops a node which has lost its peer from going on alone, if that is so."""
    argv = drbd.show_argv(resource)
    try:
        shown = agent.host.run(*argv, timeout=min(drbd.TIMEOUT, agent.left() + 0.1)).out
    except (CommandError, CommandTimeout):
        return
    if not drbd.fences(shown) and not drbd.keeps_quorum(shown):
        agent.report.log(
            f"{resource}: DRBD has neither fencing resource-and-stonith nor quorum: what a node writes after it was "
            "cut off, and before it is fenced, may be lost",
            warning=True,
        )
