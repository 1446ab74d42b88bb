"""Knock at a port behind a table of nftables, from several addresses of one network namespace.

knock.py TABLE OWN PORT ADDRESS...: prints for each address whether a listener on OWN:PORT answers it. It has to run in
a network namespace of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys


def run(*argv: str) -> None:
    """Run a command that has to succeed."""
    subprocess.run(argv, check=True)


def answers(own: str, port: int, source: str) -> bool:
    """Tell whether a connection from this address comes about."""
    with socket.socket() as knocking:
        knocking.settimeout(1.0)
        knocking.bind((source, 0))
        try:
            knocking.connect((own, port))
        except OSError:
            return False
        return True


def main(table: str, own: str, port: str, *sources: str) -> None:
    """Set the namespace up, and knock."""
    run("ip", "link", "set", "lo", "up")
    for address in (own, *sources):
        run("ip", "address", "add", f"{address}/24", "dev", "lo")
    run("nft", "-f", table)
    # All of it goes over lo, which the table lets through as the node's own.
    rules = subprocess.run(["nft", "-a", "list", "chain", "inet", "kvmha", "input"], check=True, capture_output=True)
    (handle,) = [line.split()[-1] for line in rules.stdout.decode().splitlines() if 'iif "lo" accept' in line]
    run("nft", "delete", "rule", "inet", "kvmha", "input", "handle", handle)
    with socket.create_server((own, int(port))):
        for source in sources:
            print(source, "answers" if answers(own, int(port), source) else "silence")


if __name__ == "__main__":
    main(*sys.argv[1:])
