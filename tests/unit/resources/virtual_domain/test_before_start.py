"""What is looked at before a start: the other nodes, the disks, the memory."""

from __future__ import annotations

import pytest

from kvmha import journal
from kvmha.host import CommandMissing, CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.ocf.env import OcfEnv
from kvmha.policy import decisions
from kvmha.resources.virtual_domain import VirtualDomain, before_start
from kvmha.resources.virtual_domain.definition import Definition
from kvmha.resources.virtual_domain.room import FOLDER as CLAIMS
from kvmha.tools import crm_mon, drbd
from kvmha.tools.domain_xml import parse_identity
from tests.fakes import HANGS, REFUSES, UNREACHABLE, FakeHost, FakeLibvirt, qemu_cmdline

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
OTHER = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a02"
MIB = 1024


@pytest.fixture(autouse=True)
def binding(monkeypatch):
    """Nobody imports the real binding."""
    monkeypatch.setattr("kvmha.tools.libvirtd.load", lambda: None)


def domain(*devices, memory=8192, more=""):
    return (
        f"<domain type='kvm'><name>web1</name><uuid>{UUID}</uuid><memory unit='MiB'>{memory}</memory>{more}"
        f"<devices>{''.join(devices)}</devices></domain>"
    )


def disk(path, kind="file", more="", device="disk"):
    attribute = {"file": "file", "block": "dev", "dir": "dir"}[kind]
    return f"<disk type='{kind}' device='{device}'><source {attribute}='{path}'/><target dev='vda'/>{more}</disk>"


def refusal(host, xml=None, node="n1", timeout=90.0, **params):
    """Return why a start is refused, or None."""
    given = {"config": "/etc/kvmha/guests/web1.xml", "migration_transport": "tcp", **params}
    agent = VirtualDomain(OcfEnv(action="start", instance="web1", node=node, timeout=timeout, params=given), host)
    xml = xml or domain()
    begun = host.clock
    try:
        before_start.check(agent, Definition(guest=parse_identity(xml.encode()), xml=xml))
        refused = None
    except OcfError as error:
        refused = error
    assert host.clock - begun <= timeout * 0.6, "leaves no time to start"
    assert refused is None or refused.code == codes.ERR_GENERIC
    return refused and refused.reason


# ------------------------------------------------------------------- the peers


def cluster(*nodes, has=()):
    """Return what crm_mon prints of nodes ``(name, online, unclean)``, and of those that have the guest."""
    rows = [
        f'<node name="{name}" id="1" online="{str(online).lower()}" unclean="{str(unclean).lower()}" standby="false"/>'
        for name, online, unclean in nodes
    ]
    places = "".join(f'<node name="{name}"/>' for name in has)
    active = str(bool(has)).lower()
    resource = f'<resource id="web1" resource_agent="x" role="Started" active="{active}" failed="false">{places}'
    return (
        f"<pacemaker-result><summary/><nodes>{''.join(rows)}</nodes>"
        f"<resources>{resource}</resource></resources></pacemaker-result>"
    )


ONLINE = (("n1", True, False), ("n2", True, False), ("n3", True, False))


@pytest.fixture
def peers(host, libvirt) -> dict[str, FakeLibvirt]:
    """Two other nodes, online, with a libvirt each."""
    host.commands[crm_mon.ARGV] = cluster(*ONLINE)
    for name in ("n2", "n3"):
        libvirt.elsewhere[f"qemu+tcp://{name}/system"] = FakeLibvirt(FakeHost())
        libvirt.elsewhere[f"qemu+tcp://{name}/system"].name = name
    return {peer.name: peer for peer in libvirt.elsewhere.values()}


def on_our_clock(peer, host):
    """Let a peer that hangs cost our time."""
    peer.host = host
    return peer


def test_a_guest_that_runs_nowhere_may_start(host, peers):
    assert refusal(host) is None
    assert [peer.calls for peer in peers.values()] == [["domain"], ["domain"]]


def test_a_guest_that_runs_on_a_peer_behind_the_clusters_back_is_refused(host, peers):
    peers["n3"].run_guest(uuid=UUID)
    assert refusal(host) == "web1 runs on n3 already, says its libvirt"


def test_a_guest_that_is_paused_on_a_peer_runs_there(host, peers):
    guest = peers["n2"].run_guest(uuid=UUID)
    peers["n2"].put_state(guest, "paused", "ioerror")
    assert "web1 runs on n2" in refusal(host)


def test_a_persistent_domain_that_is_off_on_a_peer_is_not_in_the_way(host, peers):
    guest = peers["n2"].run_guest(uuid=UUID)
    guest.is_persistent = True
    peers["n2"].end(guest)
    assert refusal(host) is None


def test_another_guest_of_that_name_on_a_peer_is_not_this_one(host, peers):
    peers["n2"].run_guest(uuid=OTHER)
    assert refusal(host) is None


def test_where_peers_are_not_to_be_asked_they_are_not(host, peers):
    peers["n3"].run_guest(uuid=UUID)
    assert refusal(host, peer_check="false") is None
    assert host.ran == []


@pytest.mark.parametrize("trouble", [HANGS, REFUSES, UNREACHABLE])
def test_a_peer_that_does_not_answer_counts_as_the_cluster_has_it(host, peers, trouble):
    on_our_clock(peers["n2"], host).trouble[""] = trouble
    assert refusal(host) is None
    host.commands[crm_mon.ARGV] = cluster(*ONLINE, has=("n2",))
    assert refusal(host).startswith("web1 may run on n2: the cluster has it there, and its libvirt ")


def test_what_the_cluster_has_here_is_our_own_start(host, peers):
    host.commands[crm_mon.ARGV] = cluster(*ONLINE, has=("n1",))
    assert refusal(host) is None


def test_a_fenced_node_is_not_asked(host, peers):
    host.commands[crm_mon.ARGV] = cluster(ONLINE[0], ONLINE[1], ("n3", False, False), has=("n3",))
    peers["n3"].trouble[""] = HANGS
    assert refusal(host) is None
    assert peers["n3"].calls == []


def test_a_lost_node_is_waited_for_until_it_is_fenced(host, peers):
    lost = cluster(ONLINE[0], ONLINE[1], ("n3", False, True), has=("n3",))
    fenced = cluster(ONLINE[0], ONLINE[1], ("n3", False, False))
    begun = host.clock
    host.commands[crm_mon.ARGV] = lambda: lost if host.clock < begun + 8 else fenced
    assert refusal(host) is None
    assert host.clock - begun < 10


@pytest.mark.parametrize("has", [(), ("n3",)])
def test_a_node_that_stays_lost_and_unfenced_refuses_the_start(host, peers, has):
    host.commands[crm_mon.ARGV] = cluster(ONLINE[0], ONLINE[1], ("n3", False, True), has=has)
    assert refusal(host).startswith("web1 may run on n3")


def test_a_node_that_is_to_be_fenced_and_answers_is_believed(host, peers):
    host.commands[crm_mon.ARGV] = cluster(ONLINE[0], ONLINE[1], ("n3", True, True))
    assert refusal(host) is None
    peers["n3"].run_guest(uuid=UUID)
    assert "web1 runs on n3" in refusal(host)


@pytest.mark.parametrize(
    "answer", [(crm_mon.DISCONNECTED, "", ""), CommandMissing, CommandTimeout, (1, "", "crm_mon: broken"), (0, "", "")]
)
def test_where_no_cluster_answers_no_peers_are_known(host, peers, answer):
    host.commands[crm_mon.ARGV] = answer
    peers["n2"].run_guest(uuid=UUID)
    assert refusal(host) is None


def test_called_by_hand_the_agent_knows_its_node_by_the_hosts_name(host, peers):
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    assert refusal(host, node="") is None
    assert [peer.calls for peer in peers.values()] == [["domain"], ["domain"]]


@pytest.mark.parametrize(
    ("params", "uri"),
    [
        ({"migration_transport": "tcp"}, "qemu+tcp://n2/system"),
        ({"migration_transport": ""}, "qemu://n2/system"),
        ({"migration_transport": "ssh", "migration_user": "virt"}, "qemu+ssh://virt@n2/system?no_tty=1"),
        ({"migration_transport": "tls", "migration_network_suffix": "-mig"}, "qemu+tls://n2-mig/system"),
        ({"remoteuri": "qemu+ssh://root@%n/system?keyfile=/k"}, "qemu+ssh://root@n2/system?keyfile=/k&no_tty=1"),
        ({"remoteuri": "qemu+libssh2://%n/system"}, "qemu+libssh2://n2/system"),
    ],
)
def test_a_peer_is_asked_by_the_way_of_a_migration_and_never_for_a_password(host, libvirt, params, uri):
    host.commands[crm_mon.ARGV] = cluster(*ONLINE[:2])
    libvirt.elsewhere[uri] = FakeLibvirt(FakeHost())
    libvirt.elsewhere[uri].run_guest(uuid=UUID)
    assert "web1 runs on n2" in refusal(host, **params)


# ------------------------------------------------------------------- the disks

IMAGE = "/srv/vm/web1.qcow2"


def test_a_disk_that_is_there_is_opened_as_the_guest_will(host):
    host.files[IMAGE] = host.files["/srv/iso/cd.iso"] = b"x"
    cd = disk("/srv/iso/cd.iso", device="cdrom")
    assert refusal(host, domain(disk(IMAGE), cd)) is None
    assert host.opened == [(IMAGE, True), ("/srv/iso/cd.iso", False)]


@pytest.mark.parametrize("more", ["<readonly/>", "<transient/>"])
def test_a_disk_that_the_guest_does_not_write_need_not_be_writable(host, more):
    host.files[IMAGE] = b"x"
    host.read_only.add(IMAGE)
    assert refusal(host, domain(disk(IMAGE, more=more))) is None
    assert refusal(host, domain(disk(IMAGE))) == f"disk {IMAGE}: Read-only file system"


@pytest.mark.parametrize(
    ("prepare", "xml", "reason"),
    [
        pytest.param({}, disk(IMAGE), f"disk {IMAGE}: there is no folder /srv/vm", id="not-mounted"),
        pytest.param({"/srv/vm/other": b"x"}, disk(IMAGE), f"disk {IMAGE}: No such file or directory", id="no-file"),
        pytest.param(
            {IMAGE: OSError(5, "Input/output error")}, disk(IMAGE), f"disk {IMAGE}: Input/output error", id="io-error"
        ),
        pytest.param(
            {IMAGE: b"x"},
            disk(IMAGE, "block"),
            f"disk {IMAGE} is a file, and the definition says block device",
            id="file-for-a-device",
        ),
        pytest.param(
            {IMAGE: b"x"}, disk("/srv/vm"), "disk /srv/vm is a folder, and the definition says file", id="folder"
        ),
    ],
)
def test_a_disk_that_cannot_serve_is_named(host, prepare, xml, reason):
    host.files.update(prepare)
    assert refusal(host, domain(xml)) == reason


def test_all_disks_are_named_at_once(host):
    found = refusal(host, domain(disk("/a/1"), disk("/b/2"), memory=0))
    assert found == "disk /a/1: there is no folder /a; disk /b/2: there is no folder /b"


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param("<disk type='network'><source protocol='rbd' name='a/b'/></disk>", id="network"),
        pytest.param("<disk type='volume'><source pool='a' volume='b'/></disk>", id="volume"),
        pytest.param("<disk type='file' device='cdrom'><target dev='sda'/></disk>", id="empty-drive"),
        pytest.param("<disk type='file'><source file='/a' startupPolicy='optional'/></disk>", id="optional"),
    ],
)
def test_disks_that_are_no_paths_are_left_to_qemu(host, xml):
    assert refusal(host, domain(xml)) is None
    assert host.opened == []


def test_the_image_that_the_start_makes_need_not_be_there(host):
    image = "/etc/kvmha/guests/web1.qcow2"
    assert refusal(host, domain(disk(image)), backingfile="/srv/base.qcow2") is None
    assert "there is no folder" in refusal(host, domain(disk(image)))


def test_what_only_the_user_of_qemu_may_open_is_left_to_qemu(host):
    host.files[IMAGE] = PermissionError(13, "Permission denied")
    assert refusal(host, domain(disk(IMAGE))) is None


def test_a_storage_that_does_not_answer_is_given_up(host, monkeypatch):
    monkeypatch.setattr(
        host, "together", lambda calls, what, timeout: [CommandTimeout((what,), "did not answer") for _ in calls]
    )
    assert refusal(host, domain(disk(IMAGE))) == f"disk {IMAGE}: no answer within 5 s"


# ----------------------------------------------------------------------- DRBD

DRBD0 = domain(disk("/dev/drbd0", "block"))


@pytest.fixture
def device(host):
    host.devices["/dev/drbd0"] = (drbd.MAJOR, 0)
    return host


def events(role, more=""):
    return f"exists resource name:r0 role:{role} suspended:no{more}\nexists device name:r0 volume:0 minor:0 disk:UpToDate\nexists -\n"  # noqa: E501


def test_a_guest_on_a_promoted_resource_may_start(device):
    device.commands[drbd.events_argv()] = events("Primary")
    assert refusal(device, DRBD0) is None
    assert device.opened == [("/dev/drbd0", True)]


def test_a_device_that_is_not_promoted_is_refused_and_never_opened(device):
    device.commands[drbd.events_argv()] = events("Secondary")
    assert refusal(device, DRBD0) == "disk /dev/drbd0: DRBD resource r0 is Secondary here, not promoted"
    assert device.opened == []


@pytest.mark.parametrize(("word", "may_start"), [("yes", True), ("no", False)])
def test_a_resource_that_promotes_itself_need_not_be_promoted_before(device, word, may_start):
    device.commands[drbd.events_argv()] = events("Secondary", " may_promote:yes promotion_score:10101")
    device.commands[drbd.show_argv("r0")] = f"resource r0 {{ options {{ auto-promote {word}; }} }}"
    assert (refusal(device, DRBD0) is None) is may_start


def test_a_resource_that_is_promoted_elsewhere_is_refused(device):
    device.commands[drbd.events_argv()] = events("Secondary", " may_promote:no promotion_score:0")
    assert "r0 is Secondary here" in refusal(device, DRBD0)


@pytest.mark.parametrize(("timeout", "patience"), [(20.0, 5.0), (120.0, 20.0)])
def test_a_busy_node_is_given_a_part_of_the_starts_time_to_tell_its_role(device, timeout, patience):
    """It once took longer than 5 s of a start's minutes, and the guest was banned from the node."""
    device.commands[drbd.events_argv()] = CommandTimeout
    begun = device.clock
    refusal(device, DRBD0, timeout=timeout)
    assert device.clock - begun >= patience


@pytest.mark.parametrize("answer", [CommandMissing, CommandTimeout, (20, "", "drbdsetup: no module")])
def test_a_drbd_that_does_not_tell_is_not_opened(device, answer):
    device.commands[drbd.events_argv()] = answer
    assert refusal(device, DRBD0).startswith("disk /dev/drbd0: cannot tell whether it is promoted here: drbdsetup ")
    assert device.opened == []


def test_a_resource_that_is_down_is_named_as_that(host):
    host.files["/dev/null"] = b""
    assert refusal(host, DRBD0) == "disk /dev/drbd0: is not there: its DRBD resource is down here"


def test_other_block_devices_ask_nothing_of_drbd(host):
    host.devices["/dev/vg/web1"] = (253, 0)
    assert refusal(host, domain(disk("/dev/vg/web1", "block"))) is None
    assert host.ran == [crm_mon.ARGV]


# --------------------------------------------------------------------- memory


def free(host, mib):
    host.files["/proc/meminfo"] = f"MemAvailable: {mib * MIB} kB\nHugepagesize: 2048 kB\n".encode()


def test_a_guest_that_does_not_fit_is_refused_with_the_numbers(host):
    free(host, 3120)
    assert refusal(host) == "web1 needs 8304 MiB and n1 has 3120 MiB free"
    assert refusal(host, memory_check="false") is None
    assert not [path for path in host.files if path.startswith(CLAIMS)], "a refused start claims nothing"


def test_a_guest_that_fits_may_start(host):
    free(host, 8304)
    assert refusal(host) is None


def test_a_balloon_keeps_memory_from_a_guest(host):
    free(host, 4400)
    balloon = "<currentMemory unit='GiB'>4</currentMemory>"
    assert refusal(host, domain(more=balloon)) is None
    locked = f"{balloon}<memoryBacking><locked/></memoryBacking>"
    assert "needs 8304 MiB" in refusal(host, domain(more=locked))
    device = "<hostdev mode='subsystem' type='pci'/>"
    assert "needs 8304 MiB" in refusal(host, domain(device, more=balloon))


def test_huge_pages_are_counted_apart_from_ordinary_memory(host):
    free(host, 200)
    huge = "<memoryBacking><hugepages/></memoryBacking>"
    pool = "/sys/kernel/mm/hugepages/hugepages-2048kB"
    host.files[f"{pool}/nr_hugepages"] = host.files[f"{pool}/free_hugepages"] = b"1024\n"
    assert refusal(host, domain(more=huge)) == (
        "web1 needs 8192 MiB in huge pages of 2 MiB, and n1 has 2048 MiB of them free"
    )
    host.files[f"{pool}/free_hugepages"] = b"4096\n"
    assert refusal(host, domain(more=huge)) is None


def young(host, name, uuid, *, touched_mib, age, memory_mib, pid):
    """Have a guest of that age that has not touched all its memory."""
    host.processes[pid] = (*qemu_cmdline(name, uuid), "-m", str(memory_mib))
    host.files[f"/proc/{pid}/status"] = f"VmRSS:\t{touched_mib * MIB} kB\n".encode()
    host.files["/proc/uptime"] = b"10000.00 1.00\n"
    host.files[f"/proc/{pid}/stat"] = f"{pid} (q) S {'0 ' * 18}{int((10000 - age) * 100)} 0\n".encode()


def test_what_a_young_guest_will_still_take_is_not_free(host):
    free(host, 10000)
    young(host, "web2", OTHER, touched_mib=96, age=30, memory_mib=4096, pid=50)
    found = refusal(host)
    assert found == "web1 needs 8304 MiB and n1 has 6000 MiB free, 4000 MiB less for guests that have just started"


def test_what_an_old_guest_has_never_touched_is_free(host):
    free(host, 10000)
    young(host, "web2", OTHER, touched_mib=96, age=3600, memory_mib=4096, pid=50)
    assert refusal(host) is None


def test_two_starts_at_one_time_do_not_count_the_same_memory(host):
    free(host, 10000)
    host.processes[77] = ("/usr/bin/python3", "-IS", "/usr/lib/ocf/resource.d/kvmha/VirtualDomain", "start")
    host.files[f"{CLAIMS}/web2"] = f"pid=77\nname=web2\nuuid={OTHER}\n0={4096 * MIB}\n".encode()
    assert "n1 has 5904 MiB free" in refusal(host)
    young(host, "web2", OTHER, touched_mib=4096, age=1, memory_mib=4096, pid=50)
    assert refusal(host) is None, "a guest that has its process is counted by that"


def test_the_claim_of_a_start_that_is_over_counts_no_more(host):
    free(host, 10000)
    host.files[f"{CLAIMS}/web2"] = f"pid=77\nname=web2\nuuid={OTHER}\n0={4096 * MIB}\n".encode()
    assert refusal(host) is None
    host.processes[77] = ("/usr/bin/vi",)
    assert refusal(host) is None


def test_a_size_that_cannot_be_read_is_a_fault_of_the_definition(host):
    xml = domain(memory="lots")
    agent = VirtualDomain(OcfEnv(action="start", params={"config": "/c.xml"}), host)
    with pytest.raises(OcfError, match='"lots MiB" cannot be read') as caught:
        before_start.check(agent, Definition(guest=parse_identity(xml.encode()), xml=xml))
    assert caught.value.code == codes.ERR_CONFIGURED


def test_the_peers_come_first_among_several_reasons(host, peers):
    free(host, 1)
    peers["n3"].run_guest(uuid=UUID)
    found = refusal(host, domain(disk("/a/1"))).split("; ")
    assert [reason.split()[0] for reason in found] == ["web1", "disk", "web1"]


# -------------------------------------------------------------------- the journal


def test_a_refusal_is_written_down_and_made_again(host):
    reason = refusal(host, domain(disk(IMAGE)))
    (entry,) = journal.entries(host)
    assert entry.said == f"not started: {reason}"
    assert entry.guests == ("web1",)
    assert decisions.again(entry).is_same


def test_a_start_that_nothing_speaks_against_is_not_written_down(host):
    host.files[IMAGE] = b"x"
    assert refusal(host, domain(disk(IMAGE))) is None
    assert list(journal.entries(host)) == []
