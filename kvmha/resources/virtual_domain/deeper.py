"""What a monitor does beyond a look at the state: depth 10 and 20, and the way back from an I/O error.

Invariant: silence is held against a guest only while its host lets it run; what a check says is held against it always.
Nothing is told to go on but a guest that stands still because of an I/O error, and that once until it is seen running.
"""

from __future__ import annotations

import os

from kvmha.host import CommandError, CommandFailed, CommandMissing, CommandTimeout
from kvmha.ocf import codes, state_file
from kvmha.policy import guest_state
from kvmha.record import Record
from kvmha.tools import domain_xml, pressure, qemu_process
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity, GuestState
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.libvirtd import Libvirt

SCRIPTS_DEPTH = 20

RESERVE = 2.0
"""Seconds of a monitor that its scripts leave alone: one that hangs in the kernel takes a second more to give up."""

RESUME_SHARE = 0.4
"""Share of a monitor's time, up to RESUME_RESERVE, that is kept for what comes when the storage has answered."""
RESUME_RESERVE = 10.0

RETRY_INTERVAL = 1.0
"""Seconds between two readings of a storage that refused the first."""

RESUMED = "VirtualDomain-resumed"
"""The state file that keeps which process was told to go on."""

ENVIRONMENT = ("OCF_", "HA_", "PCMK_")
"""What of Pacemaker's environment the scripts get."""


class Finding(Record):
    """An exit code, and the reason for it unless all is well."""

    code: int = codes.SUCCESS
    reason: str = ""


def look(agent: VirtualDomain, guest: GuestIdentity) -> int:
    """Look closer at a guest whose status file says that it runs; return the exit code."""
    found = _answers(agent, guest)
    if found is None:
        # It ended, or left, between the two looks.
        return agent.look_closer(guest)
    if agent.env.check_level >= SCRIPTS_DEPTH and found.code != codes.ERR_GENERIC:
        found = _worse(found, _scripts(agent, guest))
    if found.code != codes.SUCCESS:
        agent.report.exit_reason(found.reason)
    return found.code


def _worse(first: Finding, second: Finding) -> Finding:
    order = (codes.SUCCESS, codes.DEGRADED, codes.ERR_GENERIC)
    return second if order.index(second.code) > order.index(first.code) else first


def _answers(agent: VirtualDomain, guest: GuestIdentity) -> Finding | None:
    """Ask libvirt, and through it the guest agent or at least QEMU; None if libvirt has no such guest running."""
    libvirt = agent.libvirt()
    try:
        domain = libvirt.domain(guest)
        if domain is None or not domain.is_active:
            return None
        if domain.seen.state not in guest_state.AWAKE:
            code, reason = agent.judged(guest, domain.seen)
            return Finding(code=code, reason=reason)
        xml = libvirt.live_definition(guest)
        if xml is None:
            return None
        if domain_xml.has_connected_agent(xml):
            said = libvirt.agent_silence(guest)
            # It may have gone on purpose meanwhile, as it does when it is updated.
            if said and domain_xml.has_connected_agent(libvirt.live_definition(guest) or ""):
                return _silent(agent, guest, said)
            return Finding()
        said = libvirt.qemu_silence(guest)
    except LibvirtError as error:
        if not qemu_process.find(agent.host, guest):
            return None
        return Finding(code=codes.DEGRADED, reason=f"{guest.label} runs, but {error}")
    return Finding(code=codes.DEGRADED, reason=f"{guest.label}: {said}") if said else Finding()


def _silent(agent: VirtualDomain, guest: GuestIdentity, said: str) -> Finding:
    wanted = agent.param("on_agent_silent")
    if wanted == guest_state.RUNNING:
        return Finding()
    reason = f"the guest agent of {guest.label} is there and does not answer: {said}"
    short = pressure.of_host(agent.host)
    if short is not None:
        return Finding(code=codes.DEGRADED, reason=f"the guest agent of {guest.label} does not answer, but {short}")
    return Finding(code=codes.DEGRADED if wanted == guest_state.DEGRADED else codes.ERR_GENERIC, reason=reason)


def _scripts(agent: VirtualDomain, guest: GuestIdentity) -> Finding:
    """Run the operator's checks one after the other, up to the first that fails."""
    worst = Finding()
    scripts = agent.param("monitor_scripts").split()
    for position, script in enumerate(scripts):
        share = max(agent.left(RESERVE) / (len(scripts) - position), 0.1)
        worst = _worse(worst, _script(agent, guest, script, share))
        if worst.code == codes.ERR_GENERIC:
            break
    return worst


def _script(agent: VirtualDomain, guest: GuestIdentity, script: str, seconds: float) -> Finding:
    failed = Finding(code=codes.ERR_GENERIC, reason=f"{guest.label}: {script} ")
    if not script.startswith("/"):
        return Finding(code=codes.DEGRADED, reason=f'monitor_scripts="{script}" is not run: it is no absolute path')
    try:
        agent.host.run(script, timeout=seconds, env=_environment(agent))
    except (CommandMissing, OSError) as error:
        # Nothing is known of the service from a check that cannot be run, and the guest is not to blame.
        why = error.strerror if isinstance(error, OSError) else "there is no such program"
        return Finding(code=codes.DEGRADED, reason=f"monitor_scripts={script} cannot be run: {why}")
    except CommandTimeout:
        return _excused(agent, failed.replace(reason=f"{failed.reason}did not end within {seconds:.0f} s"))
    except CommandFailed as error:
        words = [line for line in (error.done.err or error.done.out).splitlines() if line.strip()]
        if error.done.rc < 0:
            return _excused(agent, failed.replace(reason=f"{failed.reason}was killed by signal {-error.done.rc}"))
        said = f": {words[-1].strip()}" if words else " and printed nothing"
        return failed.replace(reason=f"{failed.reason}exited with {error.done.rc}{said}")
    except CommandError as error:
        return failed.replace(reason=f"{guest.label}: {error}")
    return Finding()


def _excused(agent: VirtualDomain, failed: Finding) -> Finding:
    """Return the finding on a check that gave no answer, milder where the host itself is what is slow."""
    short = pressure.of_host(agent.host)
    return failed if short is None else Finding(code=codes.DEGRADED, reason=f"{failed.reason}, but {short}")


def _environment(agent: VirtualDomain) -> dict[str, str]:
    """Return the environment of a script: Pacemaker's own, as the scripts of ocf:heartbeat:VirtualDomain have it."""
    given = {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}
    named = {f"OCF_RESKEY_{name}": value for name, value in agent.env.params.items()}
    return {**given, **named, "OCF_RESOURCE_INSTANCE": agent.env.instance}


# ------------------------------------------------------------ after an I/O error


def resume(agent: VirtualDomain, guest: GuestIdentity, seen: GuestState) -> int:
    """Let a guest that an I/O error paused go on, once, when its storage can be read; return the exit code."""
    paused = f"{guest.label} is paused by an I/O error of its disk"
    if state_file.read(agent.host, RESUMED, agent.env.instance).get("pid") == str(seen.pid):
        return _failed(agent, f"{paused} again, after it was told to go on")
    if agent.env.is_probe:
        return agent.degraded(f"{paused}; the next monitor looks whether it can go on")
    libvirt = agent.libvirt()
    try:
        why_not = _why_not_readable(agent, libvirt, guest)
        if why_not:
            return _failed(agent, f"{paused}: {why_not}")
        # Written first: whatever becomes of us in the middle, it is not told twice.
        state_file.write(agent.host, RESUMED, agent.env.instance, {"pid": str(seen.pid)})
        is_told = libvirt.resume_after_io_error(guest)
    except LibvirtError as error:
        return _failed(agent, f"{paused}, and cannot be told to go on: {error}")
    if not is_told:
        return agent.look_closer(guest)
    agent.report.log(f"{guest.label} was paused by an I/O error; its storage can be read, so it was told to go on")
    return agent.degraded(f"{guest.label} was paused by an I/O error and has just been told to go on")


def forget_resume(agent: VirtualDomain) -> None:
    """End an incident: the guest runs."""
    state_file.remove(agent.host, RESUMED, agent.env.instance)


def _failed(agent: VirtualDomain, reason: str) -> int:
    agent.report.exit_reason(reason)
    return codes.ERR_GENERIC


def _why_not_readable(agent: VirtualDomain, libvirt: Libvirt, guest: GuestIdentity) -> str | None:
    """Return why the storage of a guest cannot be read when the time is up, or None.

    Where QEMU tells which disks failed, only those are looked at. A disk that is no path of this node is not: that it
    goes on is its test.
    """
    paths = domain_xml.parse_disk_paths(libvirt.live_definition(guest) or "")
    failed = libvirt.disk_errors(guest)
    reserve = min(RESUME_RESERVE, agent.left() * RESUME_SHARE)
    for target, path in paths.items():
        while path and (not failed or target in failed):
            why_not = _why_not_read(agent, path, agent.left(reserve))
            if why_not is None:
                break
            if agent.left(reserve) < RETRY_INTERVAL:
                return f"{path} {why_not}"
            agent.host.sleep(RETRY_INTERVAL)
    return None


def _why_not_read(agent: VirtualDomain, path: str, seconds: float) -> str | None:
    """Return why the begin of a disk cannot be read, or None.

    Another process reads it, past the cache: one that hangs in the kernel can be left behind, which a thread cannot.
    """
    argv = ("dd", f"if={path}", "of=/dev/null", "bs=4096", "count=1", "status=none")
    for way in (("iflag=direct",), ()):
        try:
            agent.host.run(*argv, *way, timeout=max(seconds, 0.1))
        except CommandTimeout:
            return "does not answer"
        except CommandFailed as error:
            said = error.done.err.strip().rpartition(": ")[2] or str(error)
            # A file system in memory knows no way past the cache (open(2), O_DIRECT).
            if way and said == "Invalid argument":
                continue
            return f"cannot be read: {said}"
        else:
            return None
    return None
