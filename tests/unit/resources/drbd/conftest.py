"""One node of a DRBD resource, and its cluster: a kernel that answers drbdsetup, and attributes that are kept."""

from __future__ import annotations

import pytest

from kvmha.host import CommandFailed, CommandMissing, CommandTimeout, Completed
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.policy.peer_data import Knowledge
from kvmha.resources.drbd import DRBD, knowledge

DUMP = """<resource name="r0" conf-file-line="/etc/drbd.d/r0.res:1">
    <host name="n1"><volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/vg/r0</disk></volume></host>
    <host name="n2"><volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/vg/r0</disk></volume></host>
</resource>
"""
HELD_OPEN = (11, "0: State change failed: (-12) Device is held open by someone\n")
NO_DATA = (17, "0: State change failed: (-2) Need access to UpToDate data\n")
TWO_PRIMARIES = (11, "0: State change failed: (-1) Multiple primaries not allowed by config\n")


class FakeDrbd:
    """The kernel's DRBD, 8.4 unless told otherwise, with the ways in which it goes wrong as attributes."""

    def __init__(self, host):
        self.host = host
        self.is_loaded = True
        self.is_up = True
        self.role, self.disk, self.suspended = "Secondary", "UpToDate", "no"
        self.connection, self.peer_role, self.peer_disk = "Connected", "Secondary", "UpToDate"
        self.replication = "Established"
        self.nine = ""
        """What DRBD 9 tells of the resource more."""
        self.shown = "resource r0 {\n    disk {\n        fencing resource-and-stonith;\n    }\n}\n"
        self.holder_leaves_at = 0.0
        """Until when the device is held open."""
        self.refuses = None
        """What the kernel says to a promotion: exit code and words."""
        self.takes_force = True
        self.down_works = True
        self.dump = DUMP
        self.adjust_fails = None
        self.connects_at = 0.0
        self.cluster = {"n1": "online", "n2": "online"}
        """The nodes, as online, off or unclean; None for no cluster."""
        self.promoted_on = ""
        self.attributes = {}
        self.words = {"n2": {}}
        """Transient attributes of other nodes."""
        self.cluster_hangs = False
        self.ran = []

    def lose_peer(self):
        self.connection, self.peer_role, self.peer_disk, self.replication = "Connecting", "Unknown", "DUnknown", "Off"

    def find_peer(self, role="Secondary", disk="UpToDate"):
        self.connection, self.peer_role, self.peer_disk, self.replication = "Connected", role, disk, "Established"

    # -------------------------------------------------------------------- commands

    def run(self, *argv, timeout, ok=(0,), given="", env=None):
        assert timeout > 0, f"{argv} may not take any time"
        self.ran.append(argv)
        answer = getattr(self, f"_{argv[0]}")(argv)
        if answer is CommandMissing:
            raise CommandMissing(argv, "is not installed")
        if answer is CommandTimeout:
            self.host.sleep(timeout)
            raise CommandTimeout(argv, f"did not end within {timeout:g} s")
        rc, words = answer if isinstance(answer, tuple) else (0, answer or "")
        done = Completed(argv=argv, rc=rc, out="" if rc else words, err=words if rc else "")
        if ok is not None and rc not in ok:
            raise CommandFailed(done)
        return done

    def _drbdsetup(self, argv):
        order = argv[1]
        if not self.is_loaded:
            return 20, "Failed to modprobe drbd (No such file or directory)\n"
        if order == "events2":
            return self._events()
        if order == "show":
            return self.shown
        if order == "down":
            if self.role == "Primary" or not self.down_works:
                return HELD_OPEN
            self.is_up = False
            return ""
        is_forced = "--force" in argv
        if order == "secondary":
            if is_forced and not self.nine:
                return 20, "secondary: unrecognized option '--force'\n"
            if self.host.now() < self.holder_leaves_at and not (is_forced and self.takes_force):
                return HELD_OPEN
            self.role = "Secondary"
            return ""
        assert order == "primary", argv
        if self.refuses and not (is_forced and self.refuses == NO_DATA):
            return self.refuses
        self.role = "Primary"
        return ""

    def _events(self):
        if not self.is_up:
            return "exists -\n"
        if self.connects_at and self.host.now() >= self.connects_at:
            self.connects_at = 0.0
            self.find_peer()
        nine = f" force-io-failures:no {self.nine}" if self.nine else ""
        device = " client:no open:no quorum:yes" if self.nine else ""
        return (
            f"exists resource name:r0 role:{self.role} suspended:{self.suspended}{nine}\n"
            f"exists connection name:r0 peer-node-id:0 conn-name:{'n2' if self.nine else 'peer'} "
            f"connection:{self.connection} role:{self.peer_role}\n"
            f"exists device name:r0 volume:0 minor:0 disk:{self.disk}{device}\n"
            f"exists peer-device name:r0 peer-node-id:0 conn-name:{'n2' if self.nine else 'peer'} volume:0 "
            f"replication:{self.replication} peer-disk:{self.peer_disk} resync-suspended:no\n"
            "exists -\n"
        )

    def _drbdadm(self, argv):
        if argv[-2] == "dump-xml":
            return self.dump or (1, "'r0' not defined in your config (for this host).\n")
        assert argv[-2] == "adjust", argv
        if self.adjust_fails:
            return 1, self.adjust_fails
        self.is_up = True
        return ""

    def _modprobe(self, argv):
        self.is_loaded = True
        self.host.files["/proc/drbd"] = b"version: 8.4.11 (api:1/proto:86-101)\n"
        return ""

    def _crm_attribute(self, argv):
        if self.cluster is None:
            return 102, "crm_attribute: Could not connect: Transport endpoint is not connected\n"
        if self.cluster_hangs:
            return CommandTimeout
        scores = [word.partition("=")[2] for word in argv if word.startswith("--promotion=")]
        name = scores[0] if scores else argv[argv.index("--name") + 1]
        if "--update" in argv:
            self.attributes[name] = argv[argv.index("--update") + 1]
        elif "--delete" in argv:
            self.attributes.pop(name, None)
        else:
            return self.attributes.get(name) or (105, "No such object\n")
        return ""

    def _crm_mon(self, argv):
        if self.cluster is None:
            return 102, ""
        if self.cluster_hangs:
            return CommandTimeout
        nodes, told = "", ""
        for name, state in self.cluster.items():
            online, unclean = str(state == "online").lower(), str(state == "unclean").lower()
            nodes += f'<node name="{name}" online="{online}" unclean="{unclean}" standby="false"/>'
        for name, words in self.words.items():
            found = (f'<attribute name="{key}" value="{value}"/>' for key, value in words.items())
            told += f'<node name="{name}">{"".join(found)}</node>'
        promoted = ""
        if self.promoted_on:
            promoted = (
                '<resource id="drbd-r0" resource_agent="ocf:kvmha:DRBD" role="Promoted" active="true" failed="false">'
                f'<node name="{self.promoted_on}"/></resource>'
            )
        return (
            f'<pacemaker-result><summary><current_dc with_quorum="true"/></summary><nodes>{nodes}</nodes>'
            f"<resources>{promoted}</resources><node_attributes>{told}</node_attributes></pacemaker-result>"
        )

    # ---------------------------------------------------------------------- the agent

    def orders(self, *programs):
        """Return what these programs were told that changes something."""
        asked = ("events2", "show", "dump-xml", "--query")
        return [argv[1:] for argv in self.ran if argv[0] in programs and not any(word in asked for word in argv)]


@pytest.fixture
def drbd(host, monkeypatch):
    fake = FakeDrbd(host)
    host.files["/proc/drbd"] = b"version: 8.4.11 (api:1/proto:86-101)\n"
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    host.files["/proc/sys/kernel/random/boot_id"] = b"boot-1\n"
    host.devices["/dev/drbd0"] = (147, 0)
    monkeypatch.setattr(host, "run", fake.run)
    monkeypatch.setattr(host, "wall_clock", lambda: 1_800_000_000.0 + host.now())
    return fake


@pytest.fixture
def said(monkeypatch):
    """Return the exit reasons of the actions, in order."""
    lines = []
    monkeypatch.setattr("kvmha.ocf.report.Report.exit_reason", lambda self, reason: lines.append(reason))
    return lines


@pytest.fixture
def logged(monkeypatch, host):
    lines = []
    monkeypatch.setattr("kvmha.ocf.report.Report.log", lambda self, text, warning=False: lines.append(text))
    return lines


@pytest.fixture
def act(host, drbd):
    """Return how to run an action: its name, parameters, and what Pacemaker tells beside them as ``meta``."""

    def run(action, *, meta=None, interval=10.0, timeout=30.0, **params):
        env = OcfEnv(
            action=action,
            instance="drbd-r0",
            params={"drbd_resource": "r0", **params},
            interval=interval if action == "monitor" else 0.0,
            timeout=timeout,
            node="n1",
            meta=meta or {},
        )
        return perform(DRBD, env, host)

    return run


@pytest.fixture
def known(host):
    """Return how to ask for what the node has kept of its peers' data."""

    def read() -> Knowledge:
        return knowledge.read(host, "r0")

    return read
