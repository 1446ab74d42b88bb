"""busctl: single properties that systemd's services show on the bus."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")


def property_argv(service: str, path: str, interface: str, name: str) -> tuple[str, ...]:
    """Return the command that prints one property as its type and value, such as ``s "poweroff"``."""
    return ("busctl", "get-property", service, path, interface, name)


def parse_property(text: str) -> str:
    """Return a property's value, a text without its quotes. Raises ValueError for what is none."""
    kind, _, value = text.strip().partition(" ")
    if not kind or not value:
        raise ValueError(f'"{text.strip()[:60]}" is no property')
    return value.strip('"') if kind == "s" else value


def power_key(host: Host, *, timeout: float) -> str:
    """Return what logind does when the power button is pressed (logind.conf(5)). Raises CommandError, ValueError."""
    return parse_property(host.run(*property_argv(*LOGIND, "HandlePowerKey"), timeout=timeout).out)
