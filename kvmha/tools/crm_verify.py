"""crm_verify: what Pacemaker has against a configuration."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

ARGV = ("crm_verify", "--verbose", "--xml-pipe")
"""Check a CIB from standard input, and name what is wrong (crm_verify(8))."""


def complaints(host: Host, cib: str, *, timeout: float) -> tuple[str, ...]:
    """Return what is wrong with a CIB, a sentence each; nothing where Pacemaker takes it. Raises CommandError."""
    done = host.run(*ARGV, given=cib, timeout=timeout, ok=None)
    if done.rc == 0:
        return ()
    lines = (line.strip() for line in (done.err or done.out).splitlines())
    found = tuple(line for line in lines if "error" in line.lower() or "warning" in line.lower())
    return found or (f"crm_verify exited with {done.rc}",)
