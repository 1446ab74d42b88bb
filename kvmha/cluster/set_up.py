"""Nodes become a cluster: corosync's configuration and keys on all of them, and both daemons running.

pcs does it where it is installed, because it reaches the other nodes by its own daemon; else they are reached by ssh.
Every step finds out by itself whether it was taken already, so that a run that was interrupted is simply started again.
"""

from __future__ import annotations

import os

from kvmha.cluster import apply_plan, corosync_items, set_up_by_ssh
from kvmha.errors import UserError
from kvmha.host import CommandError, CommandFailed
from kvmha.tools import corosync_conf, crm_mon, pcs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.cluster.apply_plan import Wanted
    from kvmha.host import Host

PASSWORD = "HACLUSTER_PASSWORD"

STEP_LIMIT = 300.0
TRIES = 3
PATIENCE = "--request-timeout"
"""What pcs advises when a node did not answer in time."""

JOIN_LIMIT = 120

SETUP_TOTEM = (
    "consensus", "join", "max_messages", "token", "token_coefficient", "token_retransmit",
    "token_retransmits_before_loss_const", "window_size",
)  # fmt: skip
"""What pcs takes for totem when it sets a cluster up (pcs(8)); the rest of the section has words of its own."""

SETUP_LINK = {
    "knet_link_priority": "link_priority", "knet_ping_interval": "ping_interval", "knet_ping_timeout": "ping_timeout",
    "knet_ping_precision": "ping_precision", "knet_pong_count": "pong_count", "knet_transport": "transport",
    "mcastport": "mcastport",
}  # fmt: skip
"""Keys of an interface section of totem, and pcs's words for them."""

SETUP_QUORUM = ("auto_tie_breaker", "last_man_standing", "last_man_standing_window", "wait_for_all")


def why_not(host: Host) -> str | None:
    """Return why no cluster can be set up from here, or None."""
    if not pcs.is_there(host):
        return None if host.which("ssh") else "neither pcs nor ssh is installed here, and one of them has to be"
    if not os.environ.get(PASSWORD):
        return f"set {PASSWORD} to the password that the user hacluster has on all nodes, by which pcs reaches them"
    return None


def run(host: Host, wanted: Wanted, progress: Callable[[str], None]) -> None:
    """Set the cluster up and wait for its nodes. Raises UserError, CommandError."""
    reason = why_not(host)
    if reason:
        raise UserError(reason)
    if pcs.is_there(host):
        _run_pcs(host, wanted, progress)
    else:
        set_up_by_ssh.run(host, wanted, progress)
    wait_joined(host, tuple(node.name for node in wanted.description.nodes))


def _run_pcs(host: Host, wanted: Wanted, progress: Callable[[str], None]) -> None:
    progress("let the nodes trust each other")
    _pcs(host, auth_argv(wanted), given=f"{os.environ[PASSWORD]}\n")
    witness = _witness(wanted)
    if apply_plan.live_corosync(host) is None:
        progress(f"set up the cluster {wanted.description.cluster}")
        _pcs(host, setup_argv(wanted))
        if witness:
            progress(f"ask {witness} for its vote")
            _pcs(host, device_argv(wanted))
    progress("start the cluster on all nodes, now and at boot")
    _pcs(host, pcs.enable_argv())
    _pcs(host, pcs.start_argv(JOIN_LIMIT))


def argvs(wanted: Wanted) -> list[tuple[str, ...]]:
    """Return all commands of a first set-up, the password left to a question of pcs."""
    device = [device_argv(wanted)] if _witness(wanted) else []
    return [auth_argv(wanted), setup_argv(wanted), *device, pcs.enable_argv(), pcs.start_argv(JOIN_LIMIT)]


def auth_argv(wanted: Wanted) -> tuple[str, ...]:
    """Return the command that lets the nodes, and who has a vote beside them, trust each other."""
    names = {node.name: node.addresses[0] for node in wanted.description.nodes}
    witness = _witness(wanted)
    return pcs.host_auth_argv({**names, **({witness: ""} if witness else {})})


def _witness(wanted: Wanted) -> str:
    """Return the host of the quorum device, or nothing."""
    return corosync_conf.parse(wanted.corosync).section("quorum").section("device").section("net").value("host")


def wait_joined(host: Host, names: tuple[str, ...]) -> None:
    """Wait until the cluster has a coordinator, quorum, and these nodes. Raises UserError."""
    until = host.now() + JOIN_LIMIT
    lacking = "an answer of the cluster"
    while host.now() < until:
        try:
            status = crm_mon.look(host, timeout=30.0)
        except CommandError:
            status = None
        if status is not None and status.is_quorate:
            online = {node.name for node in status.nodes if node.is_online}
            lacking = ", ".join(name for name in names if name not in online)
            if not lacking:
                return
        host.sleep(0.3)
    raise UserError(f"within {JOIN_LIMIT} s there was no {lacking}; see journalctl -u corosync -u pacemaker there")


def _pcs(host: Host, argv: tuple[str, ...], given: str = "") -> None:
    """Run pcs, and again where it gave a busy node up: not all of its commands take more time than 60 s a node."""
    for tries_left in reversed(range(TRIES)):
        try:
            host.run(*argv, given=given, timeout=STEP_LIMIT, env={"HOME": os.environ.get("HOME", "/root")})
            return
        except CommandFailed as error:
            said = " ".join((error.done.err or error.done.out).split())
            if not tries_left or PATIENCE not in said:
                raise UserError(f"{' '.join(argv[:3])} said: {said[-600:]}") from None


def setup_argv(wanted: Wanted) -> tuple[str, ...]:
    """Return the command that has pcs write the wanted corosync.conf."""
    root = corosync_conf.parse(wanted.corosync)
    totem, quorum = root.section("totem"), root.section("quorum")
    words = [pcs.PROGRAM, "cluster", "setup", totem.value("cluster_name")]
    for node in root.section("nodelist").all("node"):
        addresses = [value for key, value in node.values if key.startswith("ring") and key.endswith("_addr")]
        words += [node.value("name"), *(f"addr={address}" for address in addresses)]
    words += ["transport", "knet"]
    words += [f"{key}={totem.value(key)}" for key in ("link_mode", "knet_pmtud_interval") if totem.value(key)]
    for number, link in enumerate(totem.all("interface")):
        options = [f"{SETUP_LINK[key]}={value}" for key, value in link.values if key in SETUP_LINK]
        if options:
            words += ["link", f"linknumber={link.value('linknumber', str(number))}", *options]
    crypto = [f"{key}={totem.value(f'crypto_{key}')}" for key in ("cipher", "hash") if totem.value(f"crypto_{key}")]
    words += ["crypto", *crypto] if crypto else []
    options = [f"{key}={value}" for key, value in totem.values if key in SETUP_TOTEM]
    words += ["totem", *options] if options else []
    # pcs itself gives two nodes two_node, and with it wait_for_all.
    votes = [f"{key}={value}" for key, value in quorum.values if key in SETUP_QUORUM and not quorum.is_yes("two_node")]
    return (*words, *(("quorum", *votes) if votes else ()))


def device_argv(wanted: Wanted) -> tuple[str, ...]:
    """Return the command that adds the quorum device."""
    device = corosync_conf.parse(wanted.corosync).section("quorum").section("device")
    own = [f"{key}={value}" for key, value in device.values if key in ("timeout", "sync_timeout")]
    net = [f"{key}={value}" for key, value in device.section("net").values]
    return (pcs.PROGRAM, "quorum", "device", "add", *own, "model", "net", *net)


def can_change(field: str) -> bool:
    """Tell whether corosync takes a field of its configuration over while it runs."""
    return corosync_items.changes_live({field: ""})


def change_corosync(host: Host, names: tuple[str, ...], fields: dict[str, str | None]) -> None:
    """Change what corosync takes over while it runs, on the nodes of these names, which are all. Raises UserError."""
    values = {name.partition(".")[2]: value for name, value in fields.items()}
    if pcs.is_there(host):
        _pcs(host, pcs.totem_argv(values))
    else:
        set_up_by_ssh.change_corosync(host, names, values)
