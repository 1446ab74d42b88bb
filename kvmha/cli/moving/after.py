"""What is true of a guest after its move: that it runs where it should and nowhere else, answers, and how it does."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.policy import performance
from kvmha.record import Record
from kvmha.tools.domain_xml import has_connected_agent
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cli.moving.sight import GuestSight, Sight
    from kvmha.cli.moving.through_pacemaker import Move

SCRIPT_LIMIT = 30.0

SAMPLE_S = 2.0
"""Seconds for which a guest is looked at, before its move and after it."""


class Found(Record):
    """One thing that was looked at."""

    code: str
    is_well: bool
    said: str


def sample(sight: Sight, guest: GuestSight, node: str) -> performance.Sample | None:
    """Look for some seconds how a guest does on a node; None where libvirt does not tell."""
    libvirt = guest.lasting_libvirt(node)
    try:
        first = libvirt.counters(guest.identity)
        if first is None:
            return None
        sight.host.sleep(SAMPLE_S)
        return performance.sample(first, libvirt.counters(guest.identity))
    except LibvirtError:
        return None


def compared(sight: Sight, move: Move, before: performance.Sample | None) -> tuple[Found, ...]:
    """Return how a guest does now against before; nothing where that is not known."""
    found = performance.compare(before, sample(sight, move.guest, move.target)) if before is not None else None
    return () if found is None else (Found(code="performance", is_well=not found.is_worse, said=found.said),)


def check(sight: Sight, move: Move) -> tuple[Found, ...]:
    """Return what was found; only what could be looked at from this node."""
    guest, libvirt = move.guest, move.guest.libvirt(move.target)
    found = []
    try:
        domain = libvirt.domain(guest.identity)
        state = " ".join((domain.seen.state, domain.seen.reason)) if domain is not None else "not there"
        is_running = domain is not None and domain.seen.state == "running"
        found.append(Found(code="runs", is_well=is_running, said=f"{move.target}'s libvirt has it: {state}"))
        left = guest.libvirt(move.source).domain(guest.identity)
        if left is not None and left.is_active:
            found.append(Found(code="left-over", is_well=False, said=f"{move.source} has a copy of it as well"))
        xml = libvirt.live_definition(guest.identity) or ""
        if has_connected_agent(xml):
            silence = libvirt.agent_silence(guest.identity)
            found.append(Found(code="agent", is_well=not silence, said=silence or "its guest agent answers"))
    except LibvirtError as error:
        found.append(Found(code="libvirt", is_well=False, said=f"it could not be looked at: {error}"))
    # The scripts that the cluster's own deep monitor runs, which know the guest's service.
    scripts = guest.agent.param("monitor_scripts").split()
    return (*found, *(_script(sight, script) for script in scripts))


def _script(sight: Sight, script: str) -> Found:
    try:
        done = sight.host.run(script, timeout=SCRIPT_LIMIT, ok=None)
    except CommandError as error:
        return Found(code="service", is_well=False, said=str(error))
    last = next((line for line in reversed((done.out + done.err).splitlines()) if line.strip()), "")
    said = f"{script}: {'well' if done.rc == 0 else last or f'exit code {done.rc}'}"
    return Found(code="service", is_well=done.rc == 0, said=said)
