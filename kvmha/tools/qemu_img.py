"""qemu-img, which makes disk images."""

from __future__ import annotations

from kvmha.host import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

PROGRAM = "qemu-img"


def info_argv(path: str) -> tuple[str, ...]:
    """Return the command that tells of an image, also of one that a guest has open (-U)."""
    return (PROGRAM, "info", "-U", "--output=json", path)


def parse_format(out: str) -> str:
    """Return the format that ``info`` found, as QEMU calls it; empty where it does not tell."""
    import json

    try:
        found = json.loads(out)
    except ValueError:
        return ""
    return str(found.get("format", "")) if isinstance(found, dict) else ""


def parse_backing(out: str) -> str:
    """Return the file that an image stands on, as ``info`` found it; empty for one that stands by itself."""
    import json

    try:
        found = json.loads(out)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    return str(found.get("full-backing-filename") or found.get("backing-filename") or found.get("data-file") or "")


def overlay_argv(base: str, base_format: str, path: str) -> tuple[str, ...]:
    """Return the command that makes a qcow2 image on top of a base; QEMU 6.1 and later want the base's format."""
    return (PROGRAM, "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base, path)


def make_overlay(host: Host, base: str, path: str, timeout: float) -> None:
    """Make a qcow2 image at ``path``, anew, on top of a base. Raises CommandError."""
    done = host.run(*info_argv(base), timeout=timeout)
    base_format = parse_format(done.out)
    if not base_format:
        raise CommandError(done.argv, f"does not tell the format of {base}")
    host.run(*overlay_argv(base, base_format, path), timeout=timeout)
