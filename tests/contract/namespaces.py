"""Machines for the drills: network namespaces, each with a /run of its own, on one switch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PYTHON = "/usr/bin/python3"
CHECKOUT = Path(__file__).resolve().parents[2]


class Machine:
    """One machine, which lives as long as a process in it."""

    program: tuple[str, ...] = (PYTHON, "-B", "-IS", str(CHECKOUT / "agents" / "FloatingIP"))
    """The agent that is put to it; the one of this checkout, where the tests are run, unless a test says otherwise."""

    def __init__(self, setup: str = "") -> None:
        commands = f"mount -t tmpfs none /run\nmkdir /run/netns\nip link set lo up\n{setup}\necho ready\nread end"
        self._holder = subprocess.Popen(
            ["unshare", "-n", "-m", "sh", "-ec", commands], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout.readline() == "ready\n"
        self.pid = self._holder.pid
        self.enter = ("nsenter", f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt")

    def close(self) -> None:
        self._holder.communicate("\n")

    def run(self, *argv: str, check: bool = True, given: str | None = None) -> str:
        """Run a command in the machine and return what it printed."""
        done = subprocess.run(
            [*self.enter, *argv], input=given, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def ip(self, *arguments: str) -> str:
        return self.run("ip", *arguments)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command in the machine that the caller ends."""
        return subprocess.Popen([*self.enter, *argv], stdout=subprocess.PIPE, text=True)

    def has(self, address: str) -> bool:
        return f" {address}/" in self.ip("-o", "addr", "show")

    def mac(self, link: str = "eth0") -> str:
        return self.ip("-o", "link", "show", link).partition("link/ether ")[2].split()[0]

    # ----------------------------------------------------------------- the agent

    def agent(self, action: str, *, interval: int = 10_000, depth: int = 0, timeout: int = 20_000, **params: str):
        """Run the agent as Pacemaker's executor does; return the finished process."""
        environ = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RESOURCE_INSTANCE": "vip",
            "OCF_CHECK_LEVEL": str(depth),
            "OCF_RESKEY_CRM_meta_timeout": str(timeout),
            **({"OCF_RESKEY_CRM_meta_interval": str(interval)} if action == "monitor" else {}),
            **{f"OCF_RESKEY_{name}": value for name, value in params.items()},
        }
        argv = [*self.enter, *self.program, action]
        return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)

    def codes(self, actions: str, **params: str) -> list[int]:
        return [self.agent(action, **params).returncode for action in actions.split()]

    def says(self, action: str, **more) -> tuple[int, str]:
        """Return the exit code of an action and its exit reason."""
        done = self.agent(action, **more)
        return done.returncode, done.stderr.rstrip("\n").rpartition("\n")[2].partition("ocf-exit-reason:")[2]


class Switch(Machine):
    """A machine that is a switch; the others hang on it by a cable from their eth0."""

    def __init__(self) -> None:
        super().__init__("ip link add sw0 type bridge\nip link set sw0 up")
        self._count = 0

    def plug(self, machine: Machine, number: int) -> None:
        """Give a machine its cable and the addresses 10.77.0.NUMBER and 2001:db8::NUMBER."""
        port = f"port{number}"
        self.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(machine.pid))
        self.ip("link", "set", port, "master", "sw0", "up")
        machine.ip("link", "set", "eth0", "up")
        machine.ip("addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        machine.ip("addr", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")

    def cut(self, number: int) -> None:
        self.ip("link", "set", f"port{number}", "down")

    def heal(self, number: int) -> None:
        self.ip("link", "set", f"port{number}", "up")


def kernel_has(kind: str) -> bool:
    """Tell whether this kernel can make a link of that kind."""
    add = {"bond": "bond", "vlan": "vlan id 5", "macvlan": "macvlan"}[kind]
    link = "" if kind == "bond" else "link p "
    script = f"ip link add p type veth peer name q && ip link add {link}name x type {add}"
    argv = ["unshare", "-n", "sh", "-c", script]
    return os.geteuid() == 0 and not subprocess.run(argv, capture_output=True, check=False).returncode


def kernel_tracks() -> bool:
    """Tell whether this kernel tracks connections where a rule asks for it."""
    script = "nft add table ip t && nft add chain ip t c && nft add rule ip t c ct state new accept"
    argv = ["unshare", "-n", "sh", "-c", script]
    return os.geteuid() == 0 and not subprocess.run(argv, capture_output=True, check=False).returncode
