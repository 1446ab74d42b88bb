"""Who a guest is and what is kept of it, on real libvirt, beside the cluster's own guests."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest

NODE, GUEST = "n2", "web2"
FOLDER = "/root/kvmha-test"
PREFIX = "7d9f0c11-5f0a-4c55-9a57-"
UUID = PREFIX + "0d3c6a2b10{:02x}"
NVRAM = f"{FOLDER}/VARS.fd"

MACHINE = """\
<domain type='qemu'>
  <metadata><app xmlns='urn:kvmha-test'><name>web.1</name></app></metadata>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type>{firmware}</os>
  <features><acpi/></features>
  <devices>{devices}<memballoon model='none'/></devices>
</domain>
"""
FIRMWARE = f"""
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>{NVRAM}</nvram>
  """


class Bench:
    """One node, and machines without an operating system that no resource of the cluster knows."""

    def __init__(self, cluster):
        self.cluster = cluster

    def run(self, *argv, **rest):
        return self.cluster.run(NODE, *argv, **rest)

    def write(self, path, text):
        self.run("tee", path, given=text)

    def machine(self, number, name="", *, firmware="", devices="", machine="pc", memory=32):
        """Write a definition; return its path."""
        path = f"{FOLDER}/{number}.xml"
        text = MACHINE.format(
            name=escape(name or f"kvmha-{number}"),
            uuid=UUID.format(number),
            memory=memory,
            machine=machine,
            firmware=firmware,
            devices=devices,
        )
        self.write(path, text)
        return path

    def call(self, action, number, **params):
        return self.cluster.agent(NODE, "VirtualDomain", action, instance=f"kvmha-test-{number}", **params)

    def clear(self):
        script = (
            'for uuid in "$@"; do virsh destroy $uuid; virsh undefine $uuid --nvram --tpm --managed-save; done; '
            f"rm -rf {FOLDER} /run/kvmha/VirtualDomain/kvmha-test-* /var/lib/libvirt/swtpm/{PREFIX}*"
        )
        known = self.run("virsh", "list", "--all", "--uuid").out.split()
        self.run("sh", "-c", script, "sh", *(uuid for uuid in known if uuid.startswith(PREFIX)), ok=None)


@pytest.fixture
def bench(cluster):
    bench = Bench(cluster)
    bench.run("mkdir", "-p", FOLDER)
    yield bench
    bench.clear()


@pytest.fixture
def stuck(bench):
    """Return how to freeze libvirtd until the test is over."""
    pids = []

    def freeze():
        pids.append(bench.run("pidof", "libvirtd").out.strip())
        bench.run("kill", "-STOP", pids[-1])

    yield freeze
    for pid in pids:
        bench.run("kill", "-CONT", pid)


def test_names_that_look_alike_are_told_apart_with_libvirt_and_without(bench, stuck):
    here, absent = ("web.1", "c++vm", "vm 7", "a,b", "ünï"), ("webX1", "cvm", "vm", "a", "uni")
    paths = {name: bench.machine(number, name) for number, name in enumerate((*here, *absent))}
    number = {name: number for number, name in enumerate(paths)}
    for name in here:
        done = bench.call("start", number[name], config=paths[name], peer_check="false")
        assert (name, done.rc, done.err) == (name, 0, "")

    # Other resources' ids, so that nothing is remembered of them.
    def seen(key, asked):
        return [name for name in asked if bench.call("monitor", f"{number[name]}x", **{key: names[key][name]}).rc == 0]

    names = {"config": paths, "domain": {name: name for name in paths}}
    assert seen("config", paths) == list(here)
    stuck()
    # What is absent costs a long question to libvirt, so fewer are asked.
    assert seen("domain", (*here, "webX1")) == list(here)
    for name in ("vm 7", "a,b"):
        done = bench.call("stop", f"{number[name]}y", domain=name, force_stop="1", meta=(("timeout", 20000),))
        assert (done.rc, done.err) == (0, "")
    running = bench.run("pgrep", "--full", "--list-full", f"[-]uuid {PREFIX}").out
    left = [name for name in here if UUID.format(number[name]) in running]
    assert left == ["web.1", "c++vm", "ünï"]


@pytest.mark.parametrize("form", ["domain", "config"])
def test_nvram_and_tpm_of_a_guest_survive_stop_and_start(bench, form):
    state = "" if form == "domain" else " persistent_state='yes'"
    tpm = f"<tpm model='tpm-crb'><backend type='emulator' version='2.0'{state}/></tpm>"
    path = bench.machine(11, firmware=FIRMWARE, devices=tpm, machine="q35", memory=128)
    given = {"config": path}
    if form == "domain":
        bench.run("virsh", "define", path)
        given = {"domain": UUID.format(11)}
    given["peer_check"] = "false"
    assert bench.call("start", 11, **given).rc == 0
    assert bench.call("stop", 11, force_stop="1", **given).rc == 0
    # The last bytes of the firmware's file are spare; the TPM's folder is removed as a whole or not at all.
    marks = (NVRAM, f"/var/lib/libvirt/swtpm/{UUID.format(11)}/tpm2/mark")
    bench.run(
        "sh", "-c", f"printf kvmha-was-here | dd of={NVRAM} bs=1 seek=$(($(stat -c %s {NVRAM}) - 14)) conv=notrunc"
    )
    bench.write(marks[1], "kvmha-was-here")
    assert bench.call("start", 11, **given).rc == 0
    assert bench.call("stop", 11, force_stop="1", **given).rc == 0
    for mark in marks:
        assert bench.run("tail", "-c", "14", mark).out == "kvmha-was-here"


def test_a_transient_guest_whose_tpm_would_be_forgotten_is_refused(bench):
    tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
    path = bench.machine(12, devices=tpm)
    done = bench.call("start", 12, config=path, peer_check="false")
    assert (done.rc, "persistent_state='yes'" in done.err) == (6, True)
    # This is what it is refused for.
    folder = f"/var/lib/libvirt/swtpm/{UUID.format(12)}"
    bench.run("virsh", "create", path)
    assert bench.run("test", "-d", folder, ok=None).rc == 0
    bench.run("virsh", "destroy", UUID.format(12))
    assert bench.run("test", "-d", folder, ok=None).rc == 1


def test_what_libvirt_would_do_by_itself_is_refused_with_advice(bench):
    path = bench.machine(13)
    bench.run("virsh", "define", path)
    name = "kvmha-13"
    bench.run("virsh", "autostart", name)
    for given in ({"domain": name}, {"config": path}):
        done = bench.call("start", 13, **given)
        assert (done.rc, f"virsh autostart --disable '{name}'" in done.err) == (5, True)
        assert bench.call("validate-all", 13, env=(("OCF_CHECK_LEVEL", "10"),), **given).rc == 5
        assert bench.call("monitor", 13, **given).rc == 7
    bench.run("virsh", "autostart", "--disable", name)
    other = bench.machine(14, name)
    done = bench.call("start", 14, config=other)
    assert (done.rc, UUID.format(13) in done.err, UUID.format(14) in done.err) == (5, True, True)
    # With the file the domain that is defined keeps its own definition, and is not undefined.
    changed = bench.machine(13, memory=48)
    assert bench.call("start", 13, config=changed, peer_check="false").rc == 0
    assert "<memory unit='KiB'>49152<" in bench.run("virsh", "dumpxml", name).out
    assert bench.call("stop", 13, config=changed, force_stop="1").rc == 0
    assert "<memory unit='KiB'>32768<" in bench.run("virsh", "dumpxml", name).out


def test_a_start_waits_for_a_libvirt_that_restarts(bench):
    path = bench.machine(15)
    units = ("libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd-tcp.socket")
    bench.run("systemctl", "stop", "libvirtd.service", *units, ok=None)
    bench.run("sh", "-c", f"(sleep 3; systemctl start {' '.join(units)} libvirtd.service) > /dev/null 2>&1 &")
    assert bench.call("start", 15, config=path, peer_check="false").rc == 0
    assert bench.call("monitor", 15, config=path).rc == 0


def test_a_guest_is_saved_at_stop_and_goes_on_even_if_the_agent_was_killed_while_it_saved(bench):
    path = bench.machine(16)
    given = {"config": path, "snapshot": FOLDER, "peer_check": "false"}
    name, state = "kvmha-16", f"{FOLDER}/kvmha-16.state"
    assert bench.call("start", 16, **given).rc == 0
    assert bench.call("stop", 16, **given).rc == 0
    assert bench.run("test", "-e", state, ok=None).rc == 0
    assert bench.call("start", 16, **given).rc == 0
    assert "restored" in bench.run("virsh", "domstate", "--reason", name).out
    assert bench.run("sh", "-c", f"ls {state}*", ok=None).out == ""
    # libvirt ends what it has begun, and nobody is there to give the state its name.
    bench.run("virsh", "save", name, f"{state}.new")
    assert bench.call("stop", 16, **given).rc == 0
    assert bench.call("start", 16, **given).rc == 0
    assert "restored" in bench.run("virsh", "domstate", "--reason", name).out
    # A state of another guest is left alone.
    bench.run("virsh", "save", name, state)
    done = bench.call("start", 17, **{**given, "config": bench.machine(17, name)})
    assert (done.rc, UUID.format(16) in done.err) == (1, True)
    assert bench.run("test", "-e", state, ok=None).rc == 0


def test_a_changed_definition_is_saved_at_stop_and_an_unchanged_one_is_not(bench):
    path = bench.machine(18)
    given = {"config": path, "save_config_on_stop": "1", "peer_check": "false"}
    before = bench.run("cat", path).out
    assert bench.call("start", 18, **given).rc == 0
    assert bench.call("stop", 18, force_stop="1", **given).rc == 0
    assert bench.run("cat", path).out == before
    assert bench.call("start", 18, **given).rc == 0
    bench.run("virsh", "attach-device", "kvmha-18", "/dev/stdin", "--live",
              given="<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>")  # fmt: skip
    assert bench.call("stop", 18, force_stop="1", **given).rc == 0
    assert "/dev/urandom" in bench.run("cat", path).out
    assert bench.call("start", 18, **given).rc == 0
    assert "/dev/urandom" in bench.run("virsh", "dumpxml", "kvmha-18").out


def test_pools_and_networks_are_started_before_the_guest(bench):
    pool = f"<pool type='dir'><name>kvmha-test</name><target><path>{FOLDER}</path></target></pool>"
    network = "<network><name>kvmha-test</name><bridge name='kvmhatest0'/></network>"
    devices = (
        "<disk type='volume' device='disk'><source pool='kvmha-test' volume='disk'/><target dev='vda'/></disk>"
        "<interface type='network'><source network='kvmha-test'/></interface>"
    )
    try:
        bench.run("truncate", "-s", "1M", f"{FOLDER}/disk")
        bench.run("virsh", "pool-define", "/dev/stdin", given=pool)
        bench.run("virsh", "net-define", "/dev/stdin", given=network)
        given = {"config": bench.machine(19, devices=devices), "peer_check": "false"}
        assert bench.call("start", 19, **given).rc == 1
        done = bench.call("start", 19, start_resources="true", **given)
        assert (done.rc, done.err) == (0, "")
        assert bench.call("stop", 19, force_stop="1", **given).rc == 0
    finally:
        for what in ("pool", "net"):
            bench.run("virsh", f"{what}-destroy", "kvmha-test", ok=None)
            bench.run("virsh", f"{what}-undefine", "kvmha-test", ok=None)


def test_processors_and_memory_are_written_at_a_start_into_the_real_configuration(cluster):
    cluster.look_away(GUEST, NODE)
    names = {"cpu": "1", "host_memory": "256"}
    read = ("crm_resource", "--quiet", "--resource", GUEST, "--utilization")
    try:
        given = {f"autoset_utilization_{name}": "1" for name in names}
        given["config"] = f"/etc/kvmha/guests/{GUEST}.xml"
        for action in ("stop", "start"):
            assert cluster.agent(NODE, "VirtualDomain", action, instance=GUEST, **given).rc == 0
        found = {name: cluster.run(NODE, *read, "--get-parameter", name).out.strip() for name in names}
        assert found == names
    finally:
        for name in names:
            cluster.run(NODE, *read, "--delete-parameter", name, ok=None)
        cluster.look_again(GUEST, NODE)
