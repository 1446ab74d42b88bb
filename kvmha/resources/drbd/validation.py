"""What no row of the table can refuse alone, and what a node lacks for the parameters."""

from __future__ import annotations

from kvmha.host import CommandMissing
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.policy.peer_data import view_of
from kvmha.resources.drbd import cluster_view, looking, scoring
from kvmha.tools import drbd
from kvmha.tools.drbd import configuration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent
    from kvmha.tools.drbd.configuration import Configuration

VERSIONS = ("require_drbd_module_version_ge", "require_drbd_module_version_lt")


def wrong(agent: Agent) -> list[str]:
    """Return a sentence for each parameter that cannot be what was meant."""
    found = []
    resource, scores = agent.param("drbd_resource"), agent.param("adjust_master_score")
    if any(letter.isspace() or letter == "/" for letter in resource) or resource.startswith("-"):
        found.append(f'drbd_resource="{resource}" is not the name of a DRBD resource')
    if not agent.param("drbdconf").startswith("/"):
        found.append(f'drbdconf="{agent.param("drbdconf")}" is not an absolute path')
    if scoring.figures_of(scores) is None:
        found.append(f'adjust_master_score="{scores}" is not four whole numbers, none smaller than the one before')
    found += [
        f'node_map="{word}" is not DRBDNAME:CLUSTERNAME'
        for word in agent.param("node_map").split()
        if not cluster_view.name_pairs(word)
    ]
    for name in VERSIONS:
        if agent.param(name) and version_of(agent.param(name)) is None:
            found.append(f'{name}="{agent.param(name)}" is not a version such as 9.1.0')
    return [*found, *_of_clone(agent.env.meta)]


def _of_clone(meta: dict[str, str]) -> list[str]:
    """Return what is wrong with the meta attributes of the clone; the old names are those before Pacemaker 2.1."""
    reasons = {
        "clone_node_max": "a node has one replica",
        "promoted_node_max": "a node has one replica",
        "master_node_max": "a node has one replica",
        "promoted_max": "two nodes write at a time for the moment of a live migration only, by ocf:kvmha:DRBDPrimary",
    }
    reasons["master_max"] = reasons["promoted_max"]
    return [
        f"the clone's {name.replace('_', '-')} is {meta[name]}: {reason}"
        for name, reason in reasons.items()
        if meta.get(name, "").isdigit() and int(meta[name]) > 1
    ]


def check_node(agent: Agent, resource: str) -> Configuration:
    """Return the resource's configuration, if this node has DRBD and a part in it. Raises OcfError."""
    for program in ("drbdadm", "drbdsetup"):
        if agent.host.which(program) is None:
            raise OcfError(codes.ERR_INSTALLED, f"{program} is not installed")
    check_version(agent)
    # A busy node may need long to start drbdadm, and a start that fails bans the replica from it.
    limit = min(max(configuration.LIMIT, agent.left() / 4), agent.left() / 2 + 0.1)
    try:
        found = configuration.read(agent.host, resource, agent.param("drbdconf"), timeout=limit)
    except CommandMissing:
        raise
    except configuration.ConfigurationError as error:
        raise OcfError(codes.ERR_INSTALLED, f"configuration of {resource}: {error}") from None
    own = looking.own_name(agent)
    if found.host(own) is None:
        names = ", ".join(host.name for host in found.hosts)
        raise OcfError(
            codes.ERR_INSTALLED, f"the configuration of {resource} knows {names}, and this node is {own} (uname -n)"
        )
    return found


def unknown_nodes(agent: Agent, resource: str, found: Configuration) -> list[str]:
    """Return the nodes of the resource that the cluster does not have under these names, and say so in the log."""
    nodes = cluster_view.nodes(agent, resource)
    if nodes is None:
        return []
    own = looking.own_name(agent)
    unknown = [name for name in found.peers_of(own) if view_of(name, nodes) is None]
    if unknown:
        has = ", ".join(node.name for node in nodes)
        agent.report.log(
            f"{resource}: DRBD's configuration names {', '.join(unknown)}, and the cluster has {has} (see node_map)",
            warning=True,
        )
    return unknown


def check_version(agent: Agent) -> None:
    """Compare the module that is loaded with what is required. Raises OcfError."""
    oldest, first_too_new = (version_of(agent.values.get(name) or "") for name in VERSIONS)
    if oldest is None and first_too_new is None:
        return
    try:
        # The first line is "version: 8.4.11 (api:1/proto:86-101)", the same in DRBD 9.
        words = agent.host.read(drbd.LOADED).split()
    except OSError:
        # It is loaded by start, which asks again.
        return
    here = version_of(words[1]) if len(words) > 1 else None
    if here is None:
        raise OcfError(codes.ERR_GENERIC, f"{drbd.LOADED} tells no version")
    text = ".".join(map(str, here))
    if oldest is not None and here < oldest:
        raise OcfError(codes.ERR_INSTALLED, f"the DRBD module is {text}, older than {agent.param(VERSIONS[0])}")
    if first_too_new is not None and here >= first_too_new:
        raise OcfError(codes.ERR_INSTALLED, f"the DRBD module is {text}, not older than {agent.param(VERSIONS[1])}")


def version_of(text: str) -> tuple[int, int, int] | None:
    """Return the three numbers of a version, or None for a text that is none."""
    parts = text.partition("-")[0].split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])
