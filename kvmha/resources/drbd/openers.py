"""Who holds the devices of a replica open: processes, mounts, other block devices, swap."""

from __future__ import annotations

from kvmha.tools.drbd import MAJOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.ocf.agent import Agent
    from kvmha.policy.replica import Replica

LIMIT = 3
"""So many openers are named; a reason has one line."""


def sentence(agent: Agent, replica: Replica) -> str:
    """Say who holds the devices open, or nothing if nobody is found."""
    found = [opener for minor in replica.minors for opener in _openers(agent.host, minor)]
    more = f" and {len(found) - LIMIT} more" if len(found) > LIMIT else ""
    return f"held open by {', '.join(found[:LIMIT])}{more}" if found else ""


def _openers(host: Host, minor: int) -> list[str]:
    number = f"{MAJOR}:{minor}"
    return [*_mounts(host, number), *_swaps(host, minor), *_holders(host, number), *_processes(host, minor)]


def _mounts(host: Host, number: str) -> list[str]:
    """Return the mounts of a device; a mount holds it open without any process."""
    lines = [line.split() for line in _text(host, "/proc/1/mountinfo").splitlines()]
    # The third word is the device, the fifth the place (proc_pid_mountinfo(5)).
    places = [words[4] for words in lines if len(words) > 4 and words[2] == number]
    return [f"the mount at {place}" for place in places]


def _swaps(host: Host, minor: int) -> list[str]:
    lines = _text(host, "/proc/swaps").splitlines()[1:]
    return ["swap" for line in lines if line.split()[:1] == [f"/dev/drbd{minor}"]]


def _holders(host: Host, number: str) -> list[str]:
    """Return the block devices that are made of this one, and the loop devices on it."""
    holders = host.names(f"/sys/dev/block/{number}/holders")
    found = [f"the device {_text(host, f'/sys/block/{name}/dm/name').strip() or name}" for name in holders]
    path = f"/dev/drbd{number.partition(':')[2]}"
    loops = [name for name in host.names("/sys/block") if name.startswith("loop")]
    on_it = [name for name in loops if _text(host, f"/sys/block/{name}/loop/backing_file").strip() == path]
    return [*found, *(f"the device {name}" for name in on_it)]


def _processes(host: Host, minor: int) -> list[str]:
    found = []
    for pid in sorted(host.pids()):
        if any(_is_device(host, f"/proc/{pid}/fd/{name}", minor) for name in host.names(f"/proc/{pid}/fd")):
            program = (host.cmdline(pid) or ("?",))[0].rpartition("/")[2]
            found.append(f"{program} (pid {pid})")
    return found


def _is_device(host: Host, path: str, minor: int) -> bool:
    # The name first: to look at what a descriptor leads to may take for ever on a file server that is away.
    if not host.link(path).startswith("/dev/"):
        return False
    try:
        return host.device_number(path) == (MAJOR, minor)
    except OSError:
        return False


def _text(host: Host, path: str) -> str:
    try:
        return host.read(path)
    except OSError:
        return ""
