"""A service that is asked over the network whether it answers yet: TCP by a connection, HTTP by a status."""

from __future__ import annotations

import urllib.parse

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

ATTEMPT = 2.0
"""Seconds that one attempt may take; a service that is well answers a local question sooner."""


class Service(Record):
    """What is asked: ``tcp`` or ``http``, and where."""

    scheme: str
    host: str
    port: int
    path: str = "/"


def parse(text: str) -> Service:
    """Read ``tcp://HOST:PORT`` or ``http://HOST[:PORT][/PATH]``. Raises ValueError."""
    parts = urllib.parse.urlsplit(text)
    port = parts.port or (80 if parts.scheme == "http" else 0)
    if parts.scheme not in ("tcp", "http") or not parts.hostname or not port or any(map(str.isspace, text)):
        raise ValueError(text)
    if parts.scheme == "tcp" and (parts.path or parts.query):
        raise ValueError(text)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Service(scheme=parts.scheme, host=parts.hostname, port=port, path=path)


def why_silent(host: Host, service: Service, timeout: float) -> str | None:
    """Return why a service does not answer, or None if it does."""
    from kvmha.host import CommandTimeout

    limit = min(timeout, ATTEMPT)
    try:
        # Its name may be one that has to be looked up, and no timeout of ours reaches into the resolver.
        return host.bounded(lambda: _ask(service, limit), what=f"{service.host}:{service.port}", timeout=limit)
    except CommandTimeout as error:
        return str(error)
    except OSError as error:
        return f"{service.host}:{service.port}: {error.strerror or error}"


def _ask(service: Service, timeout: float) -> str | None:
    import socket

    with socket.create_connection((service.host, service.port), timeout=timeout) as connection:
        if service.scheme == "tcp":
            return None
        name = f"[{service.host}]" if ":" in service.host else service.host
        request = f"GET {service.path} HTTP/1.0\r\nHost: {name}:{service.port}\r\nUser-Agent: kvmha\r\n\r\n"
        connection.sendall(request.encode("ascii", "replace"))
        answer = b""
        while b"\n" not in answer and len(answer) < 1024:
            chunk = connection.recv(1024)
            if not chunk:
                break
            answer += chunk
    return why_refused(answer)


def why_refused(answer: bytes) -> str | None:
    """Return why an HTTP answer is no success, or None: a status from 100 to 399 is one."""
    line = answer.split(b"\n")[0].decode("ascii", "replace").strip()
    words = line.split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        return f"it does not speak HTTP: {line[:60]!r}"
    return None if 100 <= int(words[1]) < 400 else f"it answers {line[:60]}"
