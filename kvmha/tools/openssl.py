"""openssl: whether a certificate is still good (openssl-x509(1))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

LIMIT = 5.0
WEEK = 7 * 24 * 3600


def check_argv(path: str, seconds: int) -> tuple[str, ...]:
    """Return the command that fails for a certificate which ends within some seconds, or has ended."""
    return ("openssl", "x509", "-noout", "-checkend", str(seconds), "-in", path)


def has_ended(host: Host, path: str, *, within: int = 0) -> bool:
    """Tell whether a certificate has ended, or does so soon. Raises CommandError where it cannot be read."""
    done = host.run(*check_argv(path, within), timeout=LIMIT, ok=(0, 1))
    return done.rc == 1
