"""QEMU's monitor, for the time in which no libvirt holds it: QEMU serves one client, and then the next."""

from __future__ import annotations

from kvmha.host import CommandError, CommandTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

TIMEOUT = 2.0
"""Seconds for a conversation. A monitor that somebody else holds accepts the connection and says nothing."""


class QmpError(CommandError):
    """The monitor cannot be had, or QEMU refused."""

    def __init__(self, said: str) -> None:
        super().__init__(("qemu",), said)


def press_power_button(host: Host, path: str) -> None:
    """Press the guest's power button (ACPI). Raises QmpError."""
    _execute(host, path, "system_powerdown")


def run_state(host: Host, path: str) -> str:
    """Return QEMU's RunState, such as running, or shutdown for a guest that has switched itself off. Raises QmpError.

    Under libvirt QEMU runs with -no-shutdown, and so stays behind its guest until somebody ends it.
    """
    said = _execute(host, path, "query-status")
    return str(said.get("status", "")) if isinstance(said, dict) else ""


def _execute(host: Host, path: str, command: str) -> object:
    """Return what a command returns. The first answer is that to the negotiation, which has to precede it."""
    words = "".join(f'{{"execute": "{word}"}}\n' for word in ("qmp_capabilities", command))
    try:
        heard = host.talk(path, words, is_enough=lambda text: len(_answers(text)) >= 2, timeout=TIMEOUT)
    except (OSError, CommandTimeout) as error:
        raise QmpError(f"does not answer at {path}: {error}") from None
    answers = _answers(heard)
    if len(answers) < 2 or "error" in answers[1]:
        raise QmpError(f"refused {command}: {heard[-160:]!r}")
    return answers[1]["return"]


def _answers(text: str) -> list[dict[str, object]]:
    """Return the answers among whole lines; the others are the greeting and events."""
    import json

    found = []
    for line in text.split("\n")[:-1]:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and ("return" in said or "error" in said):
            found.append(said)
    return found
