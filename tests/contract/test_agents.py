"""The agents' own files as processes: exit codes, the exit reason on standard error, and addresses on real links."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PYTHON = "/usr/bin/python3"
AGENTS = Path(__file__).resolve().parents[2] / "agents"

pytestmark = pytest.mark.skipif(not os.access(PYTHON, os.X_OK), reason=f"needs {PYTHON}, which runs the agents")
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"),
    reason="needs root, ip(8) and unshare(1) for a network namespace of its own",
)


def run(agent, action, params=None, *, file=None, before=(), **more):
    """Run an agent's file as Pacemaker's executor does."""
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OCF_RESKEY_CRM_meta_timeout": "20000"}
    environ.update({f"OCF_RESKEY_{name}": value for name, value in (params or {}).items()})
    argv = [*before, PYTHON, "-B", "-IS", str(file or AGENTS / agent), *([action] if action else [])]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False, **more)


def reason(done):
    """Return the exit reason of a process, which must be the last line of its standard error."""
    last = done.stderr.rstrip("\n").rpartition("\n")[2]
    assert last.startswith("ocf-exit-reason:"), done.stderr
    return last.partition(":")[2]


@pytest.mark.parametrize("agent", ["VirtualDomain", "FloatingIP", "DRBD", "DRBDPrimary"])
class TestEveryAgent:
    """What holds for each of them."""

    def test_the_file_is_executable_and_names_the_interpreter_of_the_system(self, agent):
        assert os.access(AGENTS / agent, os.X_OK)
        assert (AGENTS / agent).read_text().splitlines()[0] == "#!/usr/bin/python3 -IS"

    @pytest.mark.parametrize("action", ["dance", "", None])
    def test_an_unknown_action_is_3(self, agent, action):
        done = run(agent, action)
        assert done.returncode == 3
        assert "is not implemented; there are " in reason(done)
        assert done.stdout == ""

    def test_a_missing_parameter_is_6_where_it_matters(self, agent):
        for action in ("start", "validate-all"):
            done = run(agent, action)
            assert done.returncode == 6
            assert "is not set" in reason(done) or "is set, so nothing names" in reason(done)

    def test_it_starts_from_its_own_folder_by_its_bare_name(self, agent):
        assert run(agent, "meta-data", file=f"./{agent}", cwd=AGENTS).returncode == 0

    def test_it_finds_the_library_of_the_tree_that_it_is_linked_into(self, agent, tmp_path):
        (tmp_path / "resource.d" / "kvmha").mkdir(parents=True)
        (tmp_path / "lib" / "kvmha").mkdir(parents=True)
        (tmp_path / "resource.d" / "kvmha" / agent).symlink_to(AGENTS / agent)
        (tmp_path / "lib" / "kvmha" / "kvmha").symlink_to(AGENTS.parent / "kvmha")
        assert run(agent, "meta-data", file=tmp_path / "resource.d" / "kvmha" / agent).returncode == 0

    @pytest.mark.parametrize("action", ["start", "stop", "monitor"])
    @pytest.mark.parametrize("folder", [".", "resource.d/kvmha"], ids=["anywhere", "ocf-tree"])
    def test_without_its_library_it_fails_and_takes_none_from_the_current_folder(self, agent, action, folder, tmp_path):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        # A library that is installed on this machine would be found in its place.
        text = (AGENTS / agent).read_text().replace("/usr/lib/ocf/lib/kvmha", str(tmp_path / "none"))
        (tmp_path / folder / agent).write_text(text)
        done = run(agent, action, file=tmp_path / folder / agent, cwd=AGENTS.parent)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'kvmha'"


WRONG_GUEST = {
    "config": "web1.xml",
    "domain": "a/b",
    "hypervisor": "lxc:///",
    "peer_check": "perhaps",
    "memory_check": "2",
    "start_resources": "maybe",
    "backingfile": "base.qcow2",
    "stateless": "so",
    "copyindirs": "etc",
    "snapshot": "states",
    "autoset_utilization_cpu": "x",
    "autoset_utilization_host_memory": "x",
    "autoset_utilization_hv_memory": "x",
    "on_paused": "fine",
    "on_ioerror": "wait",
    "on_pmsuspended": "asleep",
    "on_crashed": "dead",
    "on_agent_silent": "resume",
    "monitor_scripts": "check.sh",
    "force_stop": "perhaps",
    "shutdown_mode": "politely",
    "save_config_on_stop": "x",
    "sync_config_on_stop": "x",
    "migration_transport": "smoke",
    "migration_user": "a b",
    "migration_network_suffix": "-mig/",
    "remoteuri": "n2",
    "migrateuri": "%n",
    "migrateport": "70000",
    "migration_speed": "10M",
    "migration_mode": "warm",
    "migration_schedule": "fast",
    "migration_bandwidth": "1G",
    "migration_connections": "0",
    "migration_tls": "always",
    "migration_downtime": "-1",
    "migrate_options": "--dname other --fast",
}


def test_every_parameter_of_a_guest_has_a_wrong_value_here(checkout):
    named = run("VirtualDomain", "meta-data").stdout.split('<parameter name="')[1:]
    assert {part.partition('"')[0] for part in named} == set(WRONG_GUEST)


@pytest.mark.parametrize("name", WRONG_GUEST)
def test_each_wrong_parameter_of_a_guest_is_named_with_its_value(name):
    good = {} if name == "config" else {"config": "/x"}
    done = run("VirtualDomain", "validate-all", {**good, name: WRONG_GUEST[name]})
    assert done.returncode == 6
    assert name in reason(done)
    assert WRONG_GUEST[name].partition(" ")[0] in reason(done)


def test_all_wrong_parameters_of_a_guest_are_named_together_a_line_each():
    done = run("VirtualDomain", "validate-all", WRONG_GUEST)
    assert done.returncode == 6
    *lines, last = done.stderr.splitlines()
    assert [name for name in WRONG_GUEST if not any(name in line for line in lines)] == []
    assert last.startswith("ocf-exit-reason:")
    assert last.endswith(" more")
    assert len(last) < 220


def test_two_wrong_parameters_fit_into_the_reason():
    done = run("VirtualDomain", "validate-all", {"config": "/x", "migration_speed": "10M", "force_stop": "perhaps"})
    assert done.returncode == 6
    assert (
        reason(done)
        == 'force_stop="perhaps" is not true or false; migration_speed="10M" is not a whole number of at least 0'
    )


def test_a_parameter_in_bytes_that_are_no_text_is_6_with_a_reason():
    environ = {b"OCF_RESKEY_config": b"/x", b"OCF_RESKEY_migration_speed": b"\xff\x1b[1m"}
    argv = [PYTHON, "-B", "-IS", str(AGENTS / "VirtualDomain"), "validate-all"]
    done = subprocess.run(argv, env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 6
    assert done.stderr.startswith(b"ocf-exit-reason:migration_speed=")
    assert done.stderr.decode("utf-8").strip().isprintable()


def test_a_defect_of_ours_is_1_with_one_line_that_says_so(tmp_path):
    (tmp_path / "kvmha").symlink_to(AGENTS.parent / "kvmha")
    (tmp_path / "agent").write_text(
        f"import sys\nsys.path.append({str(tmp_path)!r})\n"
        "from kvmha.ocf.agent import main\nfrom kvmha.resources.floating_ip import FloatingIP\n"
        "def broken(self):\n    raise KeyError('two\\nlines ' + 'x' * 500)\n"
        "FloatingIP.monitor = broken\nmain(FloatingIP)\n"
    )
    done = run("", "monitor", {"ip": "192.0.2.1"}, file=tmp_path / "agent")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert reason(done).startswith("defect in kvmha: KeyError: ")
    assert len(reason(done)) < 200


# ------------------------------------------------------------------- real links

LINKS = """
set -e
ip link set lo up
ip link add vip0 type veth peer name far0
ip link set vip0 up; ip link set far0 up
ip addr add 10.77.0.11/24 dev vip0
ip addr add 2001:db8::11/64 dev vip0 nodad
"""


class Namespace:
    """A network namespace, with a /run of its own, that lives as long as a process in it."""

    def __init__(self, setup):
        self._holder = subprocess.Popen(
            ["unshare", "-n", "-m", "sh", "-c", f"mount -t tmpfs none /run\n{setup}\necho ready\nread end"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout.readline() == "ready\n"
        self.pid = self._holder.pid
        self.enter = ("nsenter", f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt")

    def close(self):
        self._holder.communicate("\n")

    def ip(self, *arguments):
        return subprocess.run(
            [*self.enter, "ip", *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout

    def agent(self, action, **params):
        return run("FloatingIP", action, params, before=self.enter)

    def codes(self, actions, **params):
        return [self.agent(action, **params).returncode for action in actions.split()]


@pytest.fixture
def net():
    namespace = Namespace(LINKS)
    yield namespace
    namespace.close()


@needs_root
@pytest.mark.parametrize(
    ("ip", "base"), [("10.77.0.100", "10.77.0.11/24"), ("2001:db8::100", "2001:db8::11/64")], ids=["v4", "v6"]
)
def test_an_address_comes_and_goes(net, ip, base):
    assert net.codes("validate-all monitor start monitor start monitor", ip=ip) == [0, 7, 0, 0, 0, 0]
    assert f"{ip}/{base.partition('/')[2]} " in net.ip("-o", "addr", "show", "dev", "vip0")
    assert net.codes("stop monitor stop", ip=ip) == [0, 7, 0]
    assert base in net.ip("-o", "addr", "show", "dev", "vip0")


@needs_root
@pytest.mark.parametrize("ip", ["10.77.0.100", "2001:db8::100"], ids=["v4", "v6"])
def test_a_link_that_is_deleted_takes_its_address_with_it(net, ip):
    assert net.codes("start monitor", ip=ip, nic="vip0") == [0, 0]
    net.ip("link", "del", "vip0")
    assert net.codes("monitor stop monitor", ip=ip, nic="vip0") == [7, 0, 7]
    done = net.agent("start", ip=ip, nic="vip0")
    assert done.returncode == 1
    assert reason(done) == "there is no link nic=vip0 on this node"


@needs_root
def test_an_address_without_its_route_is_stopped_all_the_same(net):
    assert net.codes("start", ip="10.77.0.100") == [0]
    net.ip("route", "flush", "dev", "vip0")
    assert net.codes("monitor stop monitor", ip="10.77.0.100") == [0, 0, 7]


@needs_root
def test_an_address_is_removed_from_every_link_and_from_a_point_to_point_link(net):
    for place in ("vip0", "far0"):
        net.ip("addr", "add", "10.77.0.100/24", "dev", place)
    net.ip("addr", "add", "10.77.0.101", "peer", "10.77.0.102/32", "dev", "far0")
    assert net.codes("monitor stop monitor", ip="10.77.0.100", nic="vip0") == [1, 0, 7]
    assert net.codes("monitor stop monitor", ip="10.77.0.101") == [0, 0, 7]


@needs_root
@pytest.mark.parametrize("text", ["any", "10.77.0.100/24", "10.77.0.0/16", "10.77.0.300"])
def test_a_text_that_is_no_address_removes_nothing(net, text):
    before = places(net)
    assert net.codes("monitor stop validate-all start", ip=text) == [7, 0, 6, 6]
    assert places(net) == before


def places(net):
    """Return links and addresses, without the flags that the kernel itself changes meanwhile."""
    return [line.split()[1:4] for line in net.ip("-o", "addr", "show").splitlines()]


@needs_root
def test_an_ipv6_address_that_a_neighbour_has_is_refused(net):
    neighbour = Namespace("ip link set lo up")
    try:
        net.ip("link", "set", "far0", "netns", str(neighbour.pid))
        neighbour.ip("link", "set", "far0", "up")
        neighbour.ip("addr", "add", "2001:db8::100/64", "dev", "far0", "nodad")
        done = net.agent("start", ip="2001:db8::100", nic="vip0")
    finally:
        neighbour.close()
    assert done.returncode == 1
    assert "in use by another machine" in reason(done)


@needs_root
def test_an_announcement_reaches_the_neighbour(net):
    listener = subprocess.Popen(
        [*net.enter, PYTHON, "-IS", "-c", LISTEN], stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    try:
        assert listener.stdout.readline() == "listening\n"
        assert net.codes("start", ip="10.77.0.100", arp_count="2", arp_interval="1") == [0]
        frames = [listener.stdout.readline().split() for _ in range(4)]
    finally:
        listener.kill()
        listener.communicate()
    mac = net.ip("-o", "link", "show", "vip0").partition("link/ether ")[2].split()[0].replace(":", "")
    assert frames == [["1", mac, "0a4d0064"], ["2", mac, "0a4d0064"]] * 2


LISTEN = """
import socket, struct
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
raw.bind(("far0", 0x0806))
raw.settimeout(30)
print("listening", flush=True)
while True:
    frame = raw.recv(2000)
    sender, target = frame[28:32], frame[38:42]
    if sender == target:
        print(struct.unpack("!H", frame[20:22])[0], frame[22:28].hex(), sender.hex(), flush=True)
"""
