"""The import budget of the hot path: what a recurring monitor of each agent must not load."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

PYTHON = "/usr/bin/python3"
HEAVY = {
    "dataclasses",
    "typing",
    "enum",
    "re",
    "json",
    "logging",
    "subprocess",
    "argparse",
    "lxml",
    "psutil",
    "libvirt",
}
# To find, read and run a module of a few lines takes a third of a millisecond; what all of these take together is half
# of what the bare interpreter takes. Whoever adds one here adds to each monitor of each guest.
OF_A_GUEST = {
    "kvmha", "kvmha.record", "kvmha.host",
    "kvmha.ocf", "kvmha.ocf.agent", "kvmha.ocf.codes", "kvmha.ocf.env", "kvmha.ocf.spec",
    "kvmha.policy", "kvmha.policy.model", "kvmha.policy.guest_state",
    "kvmha.tools", "kvmha.tools.qemu_process",
    "kvmha.resources", "kvmha.resources.virtual_domain", "kvmha.resources.virtual_domain.params",
    "kvmha.resources.virtual_domain.remembered",
}  # fmt: skip
OF_AN_ADDRESS = {
    "kvmha", "kvmha.record", "kvmha.host",
    "kvmha.ocf", "kvmha.ocf.agent", "kvmha.ocf.codes", "kvmha.ocf.env", "kvmha.ocf.spec", "kvmha.ocf.state_file",
    "kvmha.policy", "kvmha.policy.network",
    "kvmha.tools", "kvmha.tools.rtnetlink",
    "kvmha.resources", "kvmha.resources.floating_ip", "kvmha.resources.floating_ip.params",
    "kvmha.resources.floating_ip.watching",
}  # fmt: skip
OF_A_REPLICA = {
    "kvmha", "kvmha.record", "kvmha.host",
    "kvmha.ocf", "kvmha.ocf.agent", "kvmha.ocf.codes", "kvmha.ocf.env", "kvmha.ocf.spec", "kvmha.ocf.state_file",
    "kvmha.policy", "kvmha.policy.replica", "kvmha.policy.peer_data", "kvmha.policy.promotion",
    "kvmha.tools", "kvmha.tools.drbd",
    "kvmha.resources", "kvmha.resources.drbd", "kvmha.resources.drbd.params", "kvmha.resources.drbd.looking",
    "kvmha.resources.drbd.knowledge", "kvmha.resources.drbd.scoring",
}  # fmt: skip
UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"

# The agent's own file is run as Pacemaker runs it. It leaves by os._exit, so the modules are told from there.
RUN = """
import posix, sys
agent, action, setup = sys.argv[1:4]
sys.argv = [agent, action]
leave = posix._exit
def told(code):
    posix.write(1, (str(code) + " " + " ".join(sorted(sys.modules)) + "\\n").encode())
    leave(0)
posix._exit = told
exec(setup)
with open(agent) as file:
    text = file.read()
exec(compile(text, agent, "exec"), {"__name__": "__main__", "__file__": agent})
"""

pytestmark = pytest.mark.skipif(not os.access(PYTHON, os.X_OK), reason=f"needs {PYTHON}, which runs the agents")


def modules_of(agent, params, setup="", before=()):
    """Return the exit code of a recurring monitor and the modules that it had loaded at its end."""
    environ = {
        "PATH": "/sbin:/bin",
        "OCF_RESOURCE_INSTANCE": "test",
        "OCF_RESKEY_CRM_meta_interval": "10000",
        "OCF_RESKEY_CRM_meta_timeout": "30000",
        **{f"OCF_RESKEY_{name}": value for name, value in params.items()},
    }
    argv = [*before, PYTHON, "-B", "-IS", "-c", RUN, str(agent), "monitor", setup]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    code, *modules = done.stdout.split()
    assert done.stderr == "", "a healthy monitor is silent"
    return int(code), set(modules)


@pytest.fixture
def guest(tmp_path):
    """Have a process with a guest's arguments, and libvirt's word for it in a status file."""
    script = "import time; time.sleep(300)"
    argv = [sys.executable, "-S", "-c", script, "-name", "guest=web1,debug-threads=on", "-uuid", UUID]
    with subprocess.Popen(argv) as process:
        (tmp_path / "web1.xml").write_text(
            f"<domstatus state='running' reason='booted' pid='{process.pid}'>\n</domstatus>\n"
        )
        yield
        process.kill()


def test_the_monitor_of_a_guest_loads_nothing_heavy(checkout, tmp_path, guest):
    # Who was started is remembered after the first start, so a recurring monitor reads no XML.
    (tmp_path / "test").write_text(f"source=/etc/web1.xml\nname=web1\nuuid={UUID}\n")
    setup = (
        f"sys.path.append({str(checkout)!r})\n"
        "import kvmha.tools.qemu_process, kvmha.resources.virtual_domain.remembered\n"
        f"kvmha.tools.qemu_process.STATUS_FOLDER = {str(tmp_path)!r}\n"
        f"kvmha.resources.virtual_domain.remembered.FOLDER = {str(tmp_path)!r}\n"
    )
    code, modules = modules_of(checkout / "agents" / "VirtualDomain", {"config": "/etc/web1.xml"}, setup)
    assert code == 0
    assert not modules & HEAVY
    assert {name for name in modules if name.startswith("kvmha")} <= OF_A_GUEST
    # It and what it loads are a ninth of what a monitor costs.
    assert "os" not in modules


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace of its own")
def test_the_monitor_of_an_address_loads_nothing_heavy(checkout):
    # The loopback address is in every namespace; FloatingIP refuses to start it, and sees it like any other.
    up = ("unshare", "-n", "sh", "-c", 'ip link set lo up && ip addr add 192.0.2.10/32 dev lo && exec "$@"', "sh")
    code, modules = modules_of(checkout / "agents" / "FloatingIP", {"ip": "192.0.2.10"}, before=up)
    assert code == 0
    assert not modules & HEAVY
    assert {name for name in modules if name.startswith("kvmha")} <= OF_AN_ADDRESS
    assert "os" not in modules


EVENTS = """\
exists resource name:r0 role:Primary suspended:no
exists connection name:r0 peer-node-id:0 conn-name:peer connection:Connected role:Secondary
exists device name:r0 volume:0 minor:0 disk:UpToDate
exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate
exists -
"""


def test_the_monitor_of_a_replica_loads_nothing_heavy(checkout, tmp_path):
    for folder in ("bin", "run/DRBD", "kept"):
        (tmp_path / folder).mkdir(parents=True)
    program = tmp_path / "bin" / "drbdsetup"
    program.write_text(f"#!/bin/sh\necho run >> {tmp_path}/ran\ncat <<'END'\n{EVENTS}END\n")
    program.chmod(0o755)
    # What a start and the monitor after it have left: what is known of the peer, and the score that was written.
    (tmp_path / "kept" / "r0").write_text("node life Primary 1.000 0.000\npeer n2 equal Secondary 1.000 0.000\n")
    score = f"score=10000\nscored_by={os.getpid()}\nscored_at={int(time.monotonic())}\n"
    (tmp_path / "run" / "DRBD" / "r0").write_text(f"life=life\ninstance=test\npeer=n2\npeers=n2\n{score}")
    before = {path: path.read_text() for folder in ("run", "kept") for path in (tmp_path / folder).rglob("r0")}
    setup = (
        f"sys.path.append({str(checkout)!r})\n"
        "import kvmha.host, kvmha.ocf.state_file, kvmha.tools.drbd, kvmha.resources.drbd.knowledge\n"
        f"kvmha.host.PATH = ({str(tmp_path / 'bin')!r}, *kvmha.host.PATH)\n"
        f"kvmha.ocf.state_file.FOLDER = {str(tmp_path / 'run')!r}\n"
        f"kvmha.resources.drbd.knowledge.FOLDER = {str(tmp_path / 'kept')!r}\n"
        f"kvmha.tools.drbd.LOADED = {str(program)!r}\n"
    )
    code, modules = modules_of(checkout / "agents" / "DRBD", {"drbd_resource": "r0"}, setup)
    assert code == 8
    assert not modules & HEAVY
    assert {name for name in modules if name.startswith("kvmha")} <= OF_A_REPLICA
    assert "os" not in modules
    assert (tmp_path / "ran").read_text() == "run\n", "one command"
    assert {path: path.read_text() for path in before} == before, "and nothing is written"


def test_the_monitor_of_the_right_to_write_loads_nothing_heavy(checkout, tmp_path):
    program = tmp_path / "drbdsetup"
    program.write_text(f"#!/bin/sh\necho run >> {tmp_path}/ran\ncat <<'END'\n{EVENTS}END\n")
    program.chmod(0o755)
    setup = (
        f"sys.path.append({str(checkout)!r})\n"
        "import kvmha.host, kvmha.tools.drbd\n"
        f"kvmha.host.PATH = ({str(tmp_path)!r}, *kvmha.host.PATH)\n"
        f"kvmha.tools.drbd.LOADED = {str(program)!r}\n"
    )
    code, modules = modules_of(checkout / "agents" / "DRBDPrimary", {"drbd_resource": "r0"}, setup)
    assert code == 0
    assert not modules & HEAVY
    assert "os" not in modules
    assert (tmp_path / "ran").read_text() == "run\n", "one command"


def test_the_assertion_can_fail(checkout, tmp_path, guest):
    (tmp_path / "test").write_text(f"source=/etc/web1.xml\nname=web1\nuuid={UUID}\n")
    setup = (
        f"sys.path.append({str(checkout)!r})\n"
        "import kvmha.tools.qemu_process, kvmha.resources.virtual_domain.remembered, re\n"
        f"kvmha.tools.qemu_process.STATUS_FOLDER = {str(tmp_path)!r}\n"
        f"kvmha.resources.virtual_domain.remembered.FOLDER = {str(tmp_path)!r}\n"
    )
    _, modules = modules_of(checkout / "agents" / "VirtualDomain", {"config": "/etc/web1.xml"}, setup)
    assert modules & HEAVY
