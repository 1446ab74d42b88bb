"""How a guest is asked to shut down: each way in turn, until it has gone or only the stop's reserve is left."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.tools import qemu_process, qmp
from kvmha.tools.libvirtd import SHUTDOWN_MODES, LibvirtError, LibvirtSilent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestState
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.resources.virtual_domain.stopping import GuestStop

DEFAULT_MODES = ("agent", "acpi")
"""Libvirt refuses the agent at once where the guest has none that is connected."""

PRESS_INTERVAL = 5.0
"""Seconds between two presses of the power button: a guest in its boot loader or early boot loses the first."""

AGENT_INTERVAL = 65.0
"""Seconds between two orders to the guest agent: libvirt waits a minute for the first to have its effect."""

AGENT_LIMIT = 8.0
"""Seconds after which an order that the agent has not refused counts as taken; a silent one is refused after 5 s."""

RESUME_LIMIT = 5.0
"""Seconds in which a guest runs again whose job was aborted, or that was woken."""

IN_THE_WAY = ("migration out", "save", "dump", "snapshot")
"""Jobs of libvirt in which a guest cannot be told to shut down, and which leave it running when they are aborted."""

RUN_STATE_INTERVAL = 0.5
"""Seconds between two looks whether a guest without libvirt has switched itself off."""

CAN_HEAR = ("running", "blocked", "shutdown")


def wrong(agent: VirtualDomain) -> list[str]:
    """Return a sentence for each word of ``shutdown_mode`` that is no mode."""
    text, known = agent.param("shutdown_mode"), ", ".join(SHUTDOWN_MODES)
    return [f'shutdown_mode="{text}": "{word}" is none of {known}' for word in _wrong_words(text)]


def ask(stop: GuestStop, seen: GuestState) -> None:
    """Ask a guest to shut down, and return when it has gone, cannot hear, or is out of time.

    ``seen`` is its state as libvirt has it. Raises NoAnswer when libvirt cannot be asked any more.
    """
    if any(stop.is_stopped(pid) for pid in stop.pids()):
        stop.warn("QEMU is stopped by a signal, so the guest cannot shut down")
        return
    _clear_the_way(stop, seen)
    seen = _state(stop, seen)
    if seen.state not in CAN_HEAR:
        # A guest whose processors stand still cannot answer its power button.
        stop.warn(f"the guest is {seen.state} ({seen.reason}), so it cannot shut down")
        return
    try:
        stop.ask(lambda: stop.polite.end_for_good(stop.guest))
    except LibvirtError as error:
        stop.warn(f"its definition may start it again: {error}")
    modes = _modes(stop)
    was_taken = False
    for position, mode in enumerate(modes):
        share = stop.agent.left(stop.reserve) / (len(modes) - position)
        was_taken = _ask_by(stop, mode, share) or was_taken
    if not was_taken and "acpi" not in modes:
        # Whose power is cut loses more than whose button is pressed against the operator's expectation.
        _ask_by(stop, "acpi", stop.agent.left(stop.reserve))


def ask_qemu(stop: GuestStop) -> None:
    """Press the power button at QEMU's own monitor, which is free once libvirt's daemon has gone."""
    path = qemu_process.monitor_path(stop.host, stop.guest)
    if not path:
        return
    try:
        while stop.agent.left(stop.reserve) > 0 and stop.pids():
            qmp.press_power_button(stop.host, path)
            next_press = stop.host.now() + min(PRESS_INTERVAL, stop.agent.left(stop.reserve))
            while stop.host.now() < next_press and stop.wait_for_end(RUN_STATE_INTERVAL):
                if qmp.run_state(stop.host, path) not in ("running", ""):
                    # It has switched itself off, and nobody but us ends its QEMU; or it stands still.
                    return
    except CommandError as error:
        stop.warn(f"could not press its power button without libvirt: {error}")


def _wrong_words(text: str) -> list[str]:
    return [word for word in _words(text) if word not in SHUTDOWN_MODES]


def _words(text: str) -> list[str]:
    return [word for word in (piece.strip() for piece in text.split(",")) if word]


def _modes(stop: GuestStop) -> list[str]:
    for sentence in wrong(stop.agent):
        stop.warn(sentence)
    known = [word for word in _words(stop.agent.param("shutdown_mode")) if word in SHUTDOWN_MODES]
    return known or list(DEFAULT_MODES)


def _clear_the_way(stop: GuestStop, seen: GuestState) -> None:
    """Abort what an agent or an administrator before us left under way, and wake a guest that sleeps."""
    polite, guest = stop.polite, stop.guest
    try:
        job = stop.ask(lambda: polite.job(guest))
        if job == "migration out" and _state(stop, seen).state not in CAN_HEAR:
            # It stands still for the hand-over, and its copy may run already: nothing may make it go on here.
            return
        if job in IN_THE_WAY:
            stop.ask(lambda: polite.abort_job(guest))
            stop.warn(f"its {job} was aborted")
        elif seen.state == "pmsuspended":
            stop.ask(lambda: polite.wake(guest))
            stop.warn("it slept, and was woken")
        else:
            return
    except LibvirtError as error:
        stop.warn(f"could not clear the way for its shutdown: {error}")
        return
    until = stop.host.now() + min(RESUME_LIMIT, stop.agent.left(stop.reserve) * 0.5)
    while _state(stop, seen).state not in CAN_HEAR and stop.host.now() < until:
        if not stop.wait_for_end(0.25):
            return


def _state(stop: GuestStop, known: GuestState) -> GuestState:
    """Return the state that libvirt last wrote down, or else what is known from before."""
    return qemu_process.read_status(stop.host, stop.guest) or known


def _ask_by(stop: GuestStop, mode: str, seconds: float) -> bool:
    """Ask in one way, again and again, for at most that long; tell whether the guest was asked, or has gone."""
    until = stop.host.now() + seconds
    interval = AGENT_INTERVAL if mode == "agent" else PRESS_INTERVAL
    was_taken = False
    while stop.pids() and stop.host.now() < until:
        seen = qemu_process.read_status(stop.host, stop.guest)
        if seen is not None and seen.state not in CAN_HEAR:
            stop.warn(f"the guest is {seen.state} ({seen.reason}) now")
            return True
        try:
            _order(stop, mode, until - stop.host.now())
            was_taken = True
        except LibvirtError as error:
            if mode != "agent" or stop.agent.param("shutdown_mode"):
                stop.warn(f"could not ask it by {mode}: {error}")
            return was_taken
        stop.wait_for_end(min(interval, until - stop.host.now()))
    return was_taken or not stop.pids()


def _order(stop: GuestStop, mode: str, left: float) -> None:
    """Ask once. Raises NoAnswer, and LibvirtError for a refusal."""
    if mode != "agent":
        stop.ask(lambda: stop.polite.shutdown(stop.guest, mode))
        return

    def order() -> None:
        try:
            stop.polite.shutdown(stop.guest, mode, limit=min(AGENT_LIMIT, left))
        except LibvirtSilent:
            # Libvirt waits for the guest to end; whether libvirt itself hangs shows at the next question.
            pass

    stop.ask(order)
