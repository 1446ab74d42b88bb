"""kvmha migrate, drain and undrain on a real cluster: guests that arrive, and guests that stay, never restarted."""

from __future__ import annotations

import json

import pytest

GUEST, NODE, TARGET = "web3", "n3", "n2"


@pytest.fixture
def slow(cluster):
    """A guest that has no time to arrive: its memory takes minutes, and its move has less."""
    change(cluster, "--set-parameter", "migration_bandwidth", "--parameter-value", "1")
    set_timeout(cluster, "40s")
    yield cluster
    set_timeout(cluster, "120s")
    change(cluster, "--delete-parameter", "migration_bandwidth")


def change(cluster, *words):
    cluster.run(NODE, "crm_resource", "--resource", GUEST, *words)
    cluster.run(NODE, "crm_resource", "--wait", "--timeout", "60s", timeout=90)


def set_timeout(cluster, timeout, on_fail=""):
    word = f' on-fail="{on_fail}"' if on_fail else ""
    op = f'<op id="{GUEST}-migrate_to-interval-0s" name="migrate_to" interval="0s" timeout="{timeout}"{word}/>'
    cluster.run(NODE, "cibadmin", "--replace", "--xml-text", op)


def kvmha(cluster, *words, node=NODE, timeout=240, ok=(0,)):
    return cluster.run(node, "kvmha", *words, timeout=timeout, ok=ok)


def remains(cluster):
    """Return what a move has left in the configuration."""
    text = cluster.run(NODE, "cibadmin", "--query", "--scope", "configuration").out
    return [word for word in ("kvmha-move", "on-fail") if word in text]


def test_a_guest_arrives_with_its_memory_and_nothing_is_left_in_the_configuration(cluster):
    before = cluster.wait("the guest answers", lambda: cluster.boot_id(GUEST))
    found = json.loads(kvmha(cluster, "migrate", GUEST, TARGET, "--json").out)
    assert (found["result"], found["source"], found["target"]) == ("moved", NODE, TARGET)
    assert found["downtime_ms"] is not None
    assert all(each["is_well"] for each in found["check"] if each["code"] != "performance")
    assert "performance" in [each["code"] for each in found["check"]]
    assert (cluster.boot_id(GUEST), cluster.places()[GUEST]) == (before, (TARGET,))
    assert remains(cluster) == []
    past = json.loads(cluster.run(NODE, "cat", f"/var/lib/kvmha/migrations/{GUEST}.json").out)[-1]
    assert (past["result"], past["target"], past["forecast_s"] > 0) == ("moved", TARGET, True)


def test_a_guest_whose_move_is_given_up_keeps_its_process(slow):
    before = slow.qemu_pids(NODE, GUEST)
    done = kvmha(slow, "migrate", GUEST, TARGET, "--json", ok=(1,))
    found = json.loads(done.out)
    assert (found["result"], "it had not ended after" in found["reason"]) == ("stayed", True)
    assert (slow.qemu_pids(NODE, GUEST), slow.qemu_pids(TARGET, GUEST)) == (before, [])
    assert remains(slow) == []
    slow.wait("the cluster is well", slow.is_well)
    assert slow.qemu_pids(NODE, GUEST) == before


@pytest.mark.slow
def test_a_guest_stays_in_standby_too_where_the_configuration_says_so_until_the_failure_is_forgotten(slow):
    before = slow.qemu_pids(NODE, GUEST)
    set_timeout(slow, "40s", on_fail="block")
    slow.run(NODE, "pcs", "node", "standby", NODE, timeout=30)
    try:
        slow.wait("the move is given up", lambda: slow.status().resource(GUEST).is_failed, limit=120)
        assert (slow.qemu_pids(NODE, GUEST), slow.qemu_pids(TARGET, GUEST)) == (before, [])
    finally:
        slow.run(NODE, "pcs", "node", "unstandby", NODE, timeout=30)
    others = [name for name in slow.nodes if name != NODE]
    for node in (*others, NODE):
        slow.run(NODE, "crm_resource", "--refresh", "--resource", GUEST, "--node", node)
        slow.run(NODE, "crm_resource", "--wait", "--timeout", "60s", timeout=90)
    slow.wait("the cluster is well", slow.is_well)
    assert slow.qemu_pids(NODE, GUEST) == before


# Runs a command, and interrupts it once libvirt moves the guest.
INTERRUPTED = """\
import signal, subprocess, sys, time
command = subprocess.Popen(sys.argv[2:])
while command.poll() is None:
    job = subprocess.run(["virsh", "domjobinfo", sys.argv[1]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if b"Outgoing migration" in job.stdout:
        command.send_signal(signal.SIGINT)
        break
    time.sleep(0.2)
sys.exit(command.wait())
"""


def test_an_interrupted_command_aborts_the_move(slow):
    before = slow.qemu_pids(NODE, GUEST)
    words = ("kvmha", "migrate", GUEST, TARGET)
    done = slow.run(NODE, "python3", "-c", INTERRUPTED, GUEST, *words, timeout=180, ok=None)
    assert (done.rc, "aborted by the operator" in done.out) == (130, True)
    slow.wait("the cluster is well", slow.is_well)
    assert (slow.qemu_pids(NODE, GUEST), remains(slow)) == (before, [])


def test_a_guest_that_is_shut_down_and_started_elsewhere(cluster):
    found = json.loads(kvmha(cluster, "migrate", GUEST, TARGET, "--cold", "--json").out)
    assert (found["result"], found["is_cold"]) == ("moved", True)
    assert cluster.places()[GUEST] == (TARGET,)
    assert remains(cluster) == []


def test_a_node_is_drained_and_used_again(cluster):
    boots = {name: cluster.wait(f"{name} answers", lambda name=name: cluster.boot_id(name)) for name in cluster.guests}
    plan = json.loads(kvmha(cluster, "drain", NODE, "--dry-run", "--json").out)
    assert [item["guest"] for item in plan["items"]] == [GUEST]
    found = json.loads(kvmha(cluster, "drain", NODE, "--json", node="n1").out)
    assert (found["is_empty"], [move["result"] for move in found["moves"]]) == (True, ["moved"])
    assert all(NODE not in nodes for nodes in cluster.places("n1").values())
    assert {name: cluster.boot_id(name) for name in cluster.guests} == boots
    kvmha(cluster, "undrain", NODE, node="n1")
    cluster.wait("the cluster is well", cluster.is_well)
    assert remains(cluster) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("migrate", "web9", TARGET), '"web9" is no guest of this cluster'),
        (("migrate", GUEST, "n9"), '"n9" is no node of this cluster'),
        (("migrate", GUEST, NODE), f"{GUEST} runs on {NODE} already"),
        (("drain", "n9"), '"n9" is no node of this cluster'),
        (("undrain", TARGET), f"{TARGET} is not in standby"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(cluster, words, said):
    done = kvmha(cluster, *words, ok=(2,))
    assert done.err.startswith("kvmha: ")
    assert said in done.err
    assert len(done.err.splitlines()) == 1


FOLDER = "/srv/of-its-own"
DISK = f"{FOLDER}/{GUEST}.img"
ELEMENT = (
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
    f"<source file='{DISK}'/><target dev='vda' bus='virtio'/></disk>"
)


@pytest.fixture
def local(cluster):
    """A guest whose disk is a file that only its node has."""
    path = f"/etc/kvmha/guests/{GUEST}.xml"
    plain = {node: cluster.run(node, "cat", path).out for node in (NODE, TARGET)}

    def define(texts):
        for node, text in texts.items():
            cluster.run(node, "sh", "-c", 'cat > "$1"', "sh", path, given=text)
        cluster.run(NODE, "crm_resource", "--restart", "--resource", GUEST, "--timeout", "120s", timeout=150)

    cluster.run(NODE, "mkdir", FOLDER)
    cluster.run(NODE, "truncate", "--size=16M", DISK)
    define({node: text.replace("</devices>", f"{ELEMENT}</devices>") for node, text in plain.items()})
    yield cluster
    define(plain)
    for node in (NODE, TARGET):
        cluster.run(node, "rm", "-rf", FOLDER)


def ask(cluster, text):
    """Return what the guest's service answers to a line."""
    code = (
        "import socket, sys; client = socket.create_connection((sys.argv[1], 7000), 2); client.settimeout(5); "
        "line = client.makefile().readline; line(); client.sendall(sys.argv[2].encode()); print(line(), end='')"
    )
    argv = ("nsenter", f"--net=/run/netns/{cluster.plan.netns}", "/usr/bin/python3", "-IS", "-c", code)
    return cluster.host.run(*argv, cluster.plan.guest(GUEST).address, f"{text}\n", timeout=10, ok=None).out.strip()


def test_a_guest_takes_its_own_disk_along_and_leaves_none_that_could_be_started(local):
    local.wait("the guest has its disk", lambda: ask(local, "write 7 before-the-move") == "wrote 7")
    told, boot = ask(local, "sum 0 100"), local.boot_id(GUEST)
    found = json.loads(kvmha(local, "migrate", GUEST, TARGET, "--copy-disks", "--json").out)
    assert (found["result"], found["is_cold"], [each["path"] for each in found["copied"]]) == ("moved", True, [DISK])
    assert found["copied"][0]["sent"] < found["copied"][0]["size"], "holes are not sent"
    assert local.places()[GUEST] == (TARGET,)
    local.wait("it has the same on its disk", lambda: ask(local, "sum 0 100") == told)
    assert local.boot_id(GUEST) != boot
    assert local.run(NODE, "ls", FOLDER).out.split() == [found["set_aside"][DISK].rpartition("/")[2]]
    assert remains(local) == []
    assert ask(local, "write 8 after-it") == "wrote 8"


@pytest.mark.slow
def test_a_disk_that_would_be_written_over_stops_the_copy_before_the_guest_is_touched(local):
    local.run(TARGET, "mkdir", FOLDER)
    local.run(TARGET, "sh", "-c", f"echo precious > {DISK}")
    before = local.qemu_pids(NODE, GUEST)
    done = kvmha(local, "migrate", GUEST, TARGET, "--copy-disks", ok=(2,))
    assert f"{TARGET} has a file {DISK} already" in done.err
    assert local.run(TARGET, "cat", DISK).out == "precious\n"
    assert (local.qemu_pids(NODE, GUEST), remains(local)) == (before, [])


@pytest.mark.slow
def test_a_copy_that_is_interrupted_is_undone_and_the_guest_runs_where_it_was(local):
    local.wait("the guest has its disk", lambda: ask(local, "write 7 before-the-move") == "wrote 7")
    told = ask(local, "sum 0 100")
    # Behind what the guest uses, so that the copy takes some seconds.
    local.run(NODE, "dd", "if=/dev/urandom", f"of={DISK}", "bs=1M", "seek=16", "count=800", "conv=notrunc", timeout=120)
    script = 'setsid kvmha migrate "$1" "$2" --copy-disks >/run/copied.log 2>&1 </dev/null & echo $!'
    pid = local.run(NODE, "sh", "-c", script, "sh", GUEST, TARGET).out.strip()
    local.wait("it copies", lambda: local.run(TARGET, "test", "-e", DISK, ok=None).rc == 0, limit=90)
    local.run(NODE, "kill", "-INT", pid)
    local.wait("it is over", lambda: local.run(NODE, "test", "-e", f"/proc/{pid}", ok=None).rc != 0, limit=120)
    said = local.run(NODE, "cat", "/run/copied.log").out
    assert f"{GUEST} was started on {NODE} again" in said
    assert local.run(TARGET, "ls", FOLDER).out == ""
    assert (local.places()[GUEST], remains(local)) == ((NODE,), [])
    local.wait("it has the same on its disk", lambda: ask(local, "sum 0 100") == told)


# Kills a command by SIGKILL in the moment in which the source's disk has its other name, and the guest runs nowhere.
KILLED = """\
import glob, os, signal, subprocess, sys, time
command = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL, start_new_session=True)
while command.poll() is None and not glob.glob(sys.argv[1] + ".moved-to-*"):
    pass
command.kill()
sys.exit(command.wait())
"""


@pytest.mark.slow
def test_a_copy_that_is_killed_once_the_disks_are_set_aside_is_put_right_by_the_next_command(local):
    local.wait("the guest has its disk", lambda: ask(local, "write 7 before-the-move") == "wrote 7")
    told = ask(local, "sum 0 100")
    words = ("kvmha", "migrate", GUEST, TARGET, "--copy-disks")
    done = local.run(NODE, "python3", "-c", KILLED, DISK, *words, timeout=180, ok=None)
    assert done.rc != 0
    assert local.run(NODE, "ls", FOLDER).out.strip().startswith(f"{GUEST}.img.moved-to-{TARGET}-")
    assert local.places()[GUEST] == ()
    # From elsewhere it says where that can be put right; from there it is, and the guest goes as it was told to.
    assert f"kvmha migrate {GUEST} on {NODE}" in kvmha(local, "migrate", GUEST, TARGET, node="n1", ok=(2,)).err
    done = kvmha(local, "migrate", GUEST, TARGET, "--copy-disks", ok=(0,))
    assert f"{GUEST} was started on {NODE} again" in done.out
    assert local.places()[GUEST] == (TARGET,)
    local.wait("it has the same on its disk", lambda: ask(local, "sum 0 100") == told)
    assert remains(local) == []


def test_the_path_is_tried_before_a_move(cluster):
    found = json.loads(kvmha(cluster, "preflight", GUEST, "--to", TARGET, "--measure-path", "--json").out)
    (target,) = found["targets"]
    codes = {reason["code"]: reason for reason in target["reasons"]}
    assert {"mtu-carried", "login-tried", "path-speed"} <= set(codes)
    assert codes["path-speed"]["numbers"]["speed"] > 1.0
    assert cluster.run(TARGET, "ls", "/dev/shm").out.split("kvmha-")[1:] == []


def test_what_was_decided_about_a_move_can_be_made_again(cluster):
    kvmha(cluster, "migrate", GUEST, TARGET, "--dry-run")
    listed = json.loads(kvmha(cluster, "decisions", "--guest", GUEST, "--limit", "2", "--json").out)
    assert [each["kind"] for each in listed] == ["forecast", "preflight"]
    for each in listed:
        kvmha(cluster, "replay", each["id"])
