"""systemctl: what systemd knows of units."""

from __future__ import annotations

from kvmha.policy.node import Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "After", "TimeoutStartUSec", "TimeoutStopUSec")

# systemd.time(7), as `systemctl show` writes spans.
_SECONDS = {
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
    "month": 2629800.0, "y": 31557600.0,
}  # fmt: skip


def show_argv(*units: str) -> tuple[str, ...]:
    """Return the command that prints properties of units, one block for each, in the order asked."""
    return ("systemctl", "show", f"--property={','.join(PROPERTIES)}", *units)


def parse_show(text: str) -> tuple[Unit, ...]:
    """Return the units of an output; one that is not installed is there, and says so."""
    units = []
    for block in text.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if not values.get("Id"):
            continue
        is_installed = values.get("LoadState") == "loaded"
        units.append(
            Unit(
                name=values["Id"],
                is_installed=is_installed,
                is_active=values.get("ActiveState") == "active",
                is_enabled=values.get("UnitFileState") in ("enabled", "enabled-runtime"),
                after=tuple(values.get("After", "").split()),
                start_timeout_s=parse_span(values.get("TimeoutStartUSec", "")),
                stop_timeout_s=parse_span(values.get("TimeoutStopUSec", "")),
            )
        )
    return tuple(units)


def parse_span(text: str) -> float | None:
    """Return a span such as ``1min 30s`` in seconds; None for infinity, and for what is no span."""
    total = 0.0
    for word in text.split():
        digits = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        factor = _SECONDS.get(word[len(digits) :])
        if not digits.replace(".", "", 1).isdigit() or factor is None:
            return None
        total += float(digits) * factor
    return total if text.strip() else None


def show(host: Host, *units: str, timeout: float) -> tuple[Unit, ...]:
    """Return what systemd knows of units. Raises CommandError."""
    return parse_show(host.run(*show_argv(*units), timeout=timeout).out)
