"""A guest's memory over TLS, with the certificates that the templates make, and how the network learns where it is."""

from __future__ import annotations

import shutil
import threading

import pytest

from kvmha.cluster import description, render
from tests.lab.moving_guest import GUEST, NODE, TARGET, begin_move, call, hear, log, when_memory_flows

DESCRIPTION = """\
cluster: lab
nodes:
{nodes}
migration: {{transport: tls}}
"""

PLAIN_IS_SHUT = """\
add table inet shut
add chain inet shut out { type filter hook output priority 0; }
add rule inet shut out tcp dport 16509 reject
"""

# libvirtd takes its sockets from systemd when it starts.
LISTEN = "systemctl stop libvirtd.service && systemctl start libvirtd-tls.socket && systemctl start libvirtd.service"
SILENT = (
    "systemctl stop libvirtd.service libvirtd-tls.socket; systemctl reset-failed 'libvirtd*'; "
    "systemctl start libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd-tcp.socket libvirtd.service"
)

OWN_FILES = ("/etc/pki/CA", "/etc/pki/libvirt", "/etc/pki/qemu")

PUBLIC = "link0"
"""The bridge on which the guests are."""

HEAR = """\
import socket, sys, time
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    link.settimeout(max(until - time.monotonic(), 0.1))
    try:
        frame, (name, protocol, kind, *_rest) = link.recvfrom(2048)
    except OSError:
        break
    is_broadcast = frame[0:6] == b"\\xff" * 6
    # What the switch sends out again at its other ports is heard there as well.
    if frame[6:12].hex(":") == sys.argv[2] and protocol == 0x8035 and is_broadcast and kind != socket.PACKET_OUTGOING:
        print(name, flush=True)
"""


@pytest.fixture
def certificates(unmanaged, tmp_path):
    """The files that the rendered script makes, by node; the nodes have theirs, and their libvirts listen for TLS."""
    for node in (NODE, TARGET):
        if unmanaged.run(node, "sh", "-c", "ls -d /etc/pki/qemu /etc/pki/libvirt", ok=None).out:
            pytest.fail(f"{node} has certificates already")
    folder = make(unmanaged, tmp_path / "first")
    try:
        for node in (NODE, TARGET):
            put(unmanaged, node, folder / node)
            unmanaged.run(node, "sh", "-c", LISTEN)
        unmanaged.run(NODE, "nft", "-f", "-", given=PLAIN_IS_SHUT)
        yield tmp_path
    finally:
        unmanaged.run(NODE, "nft", "delete", "table", "inet", "shut", ok=None)
        for node in (NODE, TARGET):
            unmanaged.run(node, "rm", "-rf", *OWN_FILES)
            unmanaged.run(node, "sh", "-c", SILENT)


def make(cluster, folder):
    """Have the script of the templates make the certificates of the lab's nodes."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    nodes = "\n".join(
        f"  - {{name: {node.name}, addresses: [{node.addresses[0]}], fencing: {{agent: fence_ipmilan}}}}"
        for node in cluster.plan.nodes
    )
    files = render.render(description.read(DESCRIPTION.format(nodes=nodes), "cluster.yaml"))
    folder.mkdir()
    script = folder / "certificates.sh"
    script.write_text(files["libvirt/certificates.sh"])
    cluster.host.run("sh", str(script), str(folder), timeout=60)
    return folder


def put(cluster, node, folder):
    """Copy them as the script says that it is done."""
    copy = 'tar -C "$1" -c . | { shift; exec "$@"; }'
    unpack = cluster.lab.enter_argv(node, "tar", "-C", "/", "-x", "--no-same-owner")
    cluster.host.run("sh", "-c", copy, "copy", str(folder), *unpack, timeout=30)


def test_a_guest_moves_over_tls_alone_with_the_certificates_of_the_templates(certificates, unmanaged, census):
    before = hear(unmanaged)
    refused = call(unmanaged, "migrate_to")
    assert refused.rc == 1, "plain TCP would have served"
    done = call(unmanaged, "migrate_to", timeout=60, migration_transport="tls", migration_tls="true")
    assert done.rc == 0, done.err
    assert call(unmanaged, "migrate_from", TARGET).rc == 0
    assert hear(unmanaged).boot == before.boot
    assert [call(unmanaged, "monitor", node).rc for node in (NODE, TARGET)] == [7, 0]


@pytest.mark.slow
def test_a_target_that_another_authority_vouches_for_gets_no_memory(certificates, unmanaged, census):
    """libvirt's own certificates are good there, so that the move begins; QEMU's are not."""
    other = make(unmanaged, certificates / "second")
    unmanaged.run(TARGET, "mkdir", "-p", "/run/other")
    copy = 'tar -C "$1" -c . | { shift; exec "$@"; }'
    unpack = unmanaged.lab.enter_argv(TARGET, "tar", "-C", "/etc/pki/qemu", "-x", "--no-same-owner")
    folder = str(other / TARGET / "etc/pki/qemu")
    unmanaged.host.run("sh", "-c", copy, "copy", folder, *unpack, timeout=30)
    before = hear(unmanaged)
    done = call(unmanaged, "migrate_to", timeout=60, migration_transport="tls", migration_tls="true")
    assert (done.rc, "the guest runs on here" in done.err) == (1, True)
    assert "certificate" in done.err.lower() or "tls" in done.err.lower(), done.err
    assert hear(unmanaged).boot == before.boot
    assert [call(unmanaged, "monitor", node).rc for node in (NODE, TARGET)] == [0, 7]


def port_of(cluster):
    """Return the switch's port behind which the guest's network address is, as it has learnt."""
    guest = cluster.plan.guest(GUEST)
    netns = cluster.plan.netns
    table = cluster.host.run("nsenter", f"--net=/run/netns/{netns}", "bridge", "fdb", "show", timeout=10).out
    rows = [line.split() for line in table.splitlines() if line.startswith(guest.mac) and "permanent" not in line]
    return [row[row.index("dev") + 1] for row in rows]


@pytest.mark.slow
def test_a_guest_that_arrived_says_on_the_network_where_it_is(unmanaged, census):
    """By RARP, which QEMU sends in the guest's name: the guest itself need not say a word."""
    hear(unmanaged)
    assert port_of(unmanaged) == [f"{NODE}-{PUBLIC}"]
    heard = []
    argv = ("nsenter", f"--net=/run/netns/{unmanaged.plan.netns}", "/usr/bin/python3", "-IS", "-c", HEAR, "25")
    mac = unmanaged.plan.guest(GUEST).mac
    listener = threading.Thread(
        target=lambda: heard.extend(unmanaged.host.run(*argv, mac, timeout=40).out.split()), daemon=True
    )
    listener.start()
    begin_move(unmanaged, migration_bandwidth="60")
    when_memory_flows(unmanaged)
    unmanaged.wait("the guest has left", lambda: not unmanaged.qemu_pids(NODE, GUEST), limit=60)
    assert "ocf-exit-reason" not in log(unmanaged)
    listener.join(timeout=45)
    assert f"{TARGET}-{PUBLIC}" in heard, heard
    assert f"{NODE}-{PUBLIC}" not in heard, "the node that it left still speaks for it"
    assert port_of(unmanaged) == [f"{TARGET}-{PUBLIC}"]
    assert hear(unmanaged)
