"""What is kept of a guest that stops: its definition, if it was changed, and its memory, if that is asked for.

Invariant: a state of the guest's memory that lies under its own name fits the guest's disks. It gets that name when it
is whole and the guest has ended, and loses it before libvirt is asked to go on from it.
"""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.resources.virtual_domain import definition
from kvmha.tools import csync2, qemu_process
from kvmha.tools.domain_xml import DomainXmlError, parse_identity
from kvmha.tools.libvirtd import LibvirtError, LibvirtUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.libvirtd import Libvirt

FILE_LIMIT = 10.0
"""Seconds that a file operation may take: the files are shared, and a server may be away."""

SYNC_LIMIT = 20.0
"""Seconds for csync2, which talks to all nodes."""


def digest(agent: VirtualDomain, guest: GuestIdentity, libvirt: Libvirt) -> str:
    """Return what stands for the definition of a guest that was just started; empty if nothing is to be kept of it."""
    if not is_kept(agent):
        return ""
    try:
        return _digest(libvirt.definition_to_keep(guest) or "")
    except LibvirtError:
        # The definition is then compared with the file.
        return ""


def before_stop(agent: VirtualDomain, guest: GuestIdentity, libvirt: Libvirt) -> None:
    """Keep what a running guest would lose by stopping or moving away; what fails is logged, and fails nothing."""
    try:
        if agent.param("snapshot") and guest.name:
            # The guest has run since, so whatever lies there does not fit its disks any more.
            for path in (_state(agent, guest), _draft(agent, guest)):
                agent.host.bounded(lambda path=path: agent.host.remove(path), what=path, timeout=_file_limit(agent))  # type: ignore[misc]
        if is_kept(agent):
            _keep_definition(agent, guest, libvirt)
    except (OcfError, CommandError, OSError) as error:
        agent.report.log(f"the definition of {guest.label} was not saved: {error}", warning=True)


def save_instead(agent: VirtualDomain, guest: GuestIdentity, libvirt: Libvirt) -> bool:
    """Save the guest's memory in the place of a shutdown; tell whether it is saved and gone."""
    if not agent.param("snapshot") or agent.param("force_stop"):
        return False
    try:
        domain = libvirt.domain(guest)
        if domain is None or not domain.is_active:
            return False
        is_paused = (domain.seen.state, domain.seen.reason) == ("paused", "user")
        if domain.seen.state not in ("running", "blocked") and not is_paused:
            _warn(agent, guest, f"it is {domain.seen.state} {domain.seen.reason}")
            return False
        guest = domain.identity
        libvirt.save(guest, _draft(agent, guest), timeout=agent.left() * 0.5)
    except LibvirtError as error:
        # The shutdown that follows ends a save that is still under way.
        _warn(agent, guest, str(error))
        return False
    try:
        _rename(agent, _draft(agent, guest), _state(agent, guest))
    except (CommandError, OSError) as error:
        # The next start finds it by its other name.
        _warn(agent, guest, f"{_draft(agent, guest)} keeps its name: {error}")
    agent.report.log(f"saved {guest.name} in {_state(agent, guest)}")
    return True


# ----------------------------------------------------------- the way back, at a start


def claim(agent: VirtualDomain, guest: GuestIdentity, libvirt: Libvirt) -> str:
    """Take the saved state that a guest is to go on from; return its path, or nothing if there is none.

    Raises OcfError for a state that cannot be the guest's, LibvirtError where libvirt does not answer.
    """
    if not agent.param("snapshot"):
        return ""
    state, draft, claimed = _state(agent, guest), _draft(agent, guest), f"{_state(agent, guest)}.restoring"
    try:
        if _exists(agent, claimed):
            agent.report.log(
                f"{claimed} is left of a start that did not end; nobody knows whether the guest ran on from it, so it "
                "is not used",
                warning=True,
            )
        if _exists(agent, draft):
            _finish(agent, libvirt, draft, state)
        if not _exists(agent, state):
            return ""
        _check_state(libvirt, guest, state)
        _rename(agent, state, claimed)
    except OSError as error:
        raise OcfError(codes.ERR_GENERIC, f"snapshot: {state}: {error.strerror}") from None
    return claimed


def give_back(agent: VirtualDomain, claimed: str) -> None:
    """Put a state back that libvirt did not go on from."""
    try:
        _rename(agent, claimed, claimed[: -len(".restoring")])
    except (CommandError, OSError) as error:
        agent.report.log(f"the saved state stays in {claimed}: {error}", warning=True)


def spend(agent: VirtualDomain, claimed: str) -> None:
    """Remove a state that the guest runs on from."""
    try:
        agent.host.bounded(lambda: agent.host.remove(claimed), what=claimed, timeout=_file_limit(agent))
    except (CommandError, OSError) as error:
        agent.report.log(f"{claimed} was not removed, and will not be used again: {error}", warning=True)


def _finish(agent: VirtualDomain, libvirt: Libvirt, draft: str, state: str) -> None:
    """Give a state its name, or remove it, as the end of a save that an agent did not live to see."""
    try:
        libvirt.saved_definition(draft)
    except LibvirtUnreachable:
        raise
    except LibvirtError as error:
        # libvirt marks a state as whole in the end (qemu_saveimage.c), and reads no other.
        agent.report.log(f"removing {draft}, the rest of a save that did not end: {error}", warning=True)
        agent.host.bounded(lambda: agent.host.remove(draft), what=draft, timeout=_file_limit(agent))
        return
    _rename(agent, draft, state)


def _check_state(libvirt: Libvirt, guest: GuestIdentity, path: str) -> None:
    """Raise OcfError unless a saved state is the guest's."""
    try:
        saved = parse_identity(libvirt.saved_definition(path).encode())
    except LibvirtUnreachable:
        raise
    except (LibvirtError, DomainXmlError) as error:
        raise OcfError(
            codes.ERR_GENERIC, f"{path} is no state to go on from; without it the guest boots: {error}"
        ) from None
    if not qemu_process.same_guest(guest, saved) or guest.name != saved.name:
        raise OcfError(
            codes.ERR_GENERIC,
            f"{path} is the state of {saved.name} ({saved.uuid}), and not of {guest.name} ({guest.uuid})",
        )


# --------------------------------------------------------------------- the definition


def is_kept(agent: VirtualDomain) -> bool:
    """Tell whether the file of the guest's definition is written when it stops or moves."""
    is_asked = agent.param("save_config_on_stop") or agent.param("sync_config_on_stop")
    return bool(is_asked and agent.param("config"))


def _keep_definition(agent: VirtualDomain, guest: GuestIdentity, libvirt: Libvirt) -> None:
    """Write the running guest's definition over its file if it changed. Raises OcfError, CommandError, OSError."""
    path = agent.param("config")
    domain = libvirt.domain(guest)
    if domain is None or not domain.is_active:
        return
    if domain.is_persistent:
        raise OcfError(codes.ERR_GENERIC, "libvirt has it as a persistent domain too, and keeps changes there")
    xml = libvirt.definition_to_keep(guest)
    known = agent.remembered()
    if not xml or (known is not None and known.digest == _digest(xml)):
        return
    old = definition.read_file(agent)
    if old.decode("utf-8", "replace") == xml:
        return
    _check_file(old, domain.identity)
    agent.host.bounded(lambda: agent.host.rewrite(path, xml), what=path, timeout=_file_limit(agent))
    agent.report.log(f"saved the changed definition of {guest.label} in {path}")
    if agent.param("sync_config_on_stop"):
        csync2.sync(agent.host, path, min(SYNC_LIMIT, agent.left() * 0.3))


def _check_file(old: bytes, guest: GuestIdentity) -> None:
    """Raise OcfError unless a file holds the guest's definition, so that a wrong path costs nobody's."""
    try:
        there = parse_identity(old)
    except DomainXmlError as error:
        raise OcfError(codes.ERR_GENERIC, f"the file holds no definition now: {error}") from None
    if not qemu_process.same_guest(there, guest):
        raise OcfError(codes.ERR_GENERIC, f"the file defines {there.name} ({there.uuid}), which is another guest")


def _digest(xml: str) -> str:
    import hashlib

    return hashlib.sha256(xml.encode()).hexdigest() if xml else ""


# ------------------------------------------------------------------------- the files


def _state(agent: VirtualDomain, guest: GuestIdentity) -> str:
    return f"{agent.param('snapshot')}/{guest.name}.state"


def _draft(agent: VirtualDomain, guest: GuestIdentity) -> str:
    return f"{_state(agent, guest)}.new"


def _file_limit(agent: VirtualDomain) -> float:
    return min(FILE_LIMIT, agent.left() * 0.2)


def _exists(agent: VirtualDomain, path: str) -> bool:
    return agent.host.bounded(lambda: agent.host.exists(path), what=path, timeout=_file_limit(agent))


def _rename(agent: VirtualDomain, path: str, new: str) -> None:
    agent.host.bounded(lambda: agent.host.rename(path, new), what=path, timeout=_file_limit(agent))


def _warn(agent: VirtualDomain, guest: GuestIdentity, text: str) -> None:
    agent.report.log(f"{guest.label} could not be saved, and is shut down: {text}", warning=True)
