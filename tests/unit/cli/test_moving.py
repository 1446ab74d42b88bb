"""kvmha preflight, migrate and drain on the command line: what is refused with one sentence, and what is printed."""

from __future__ import annotations

import json

import pytest

from kvmha import journal
from kvmha.cli.main import main
from kvmha.cli.moving import admission
from kvmha.policy import placement
from kvmha.tools import cib, crm_mon, route
from tests.fakes import UNREACHABLE, FakeHost, FakeLibvirt

MOVABLE = """\
<domain type='kvm'><name>web1</name><uuid>3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01</uuid>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices/></domain>"""
TIED = MOVABLE.replace("<devices/>", "<devices><shmem name='s'/></devices>")
CIB = """\
<cib validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/>
<resources><primitive id="web1" class="ocf" provider="kvmha" type="VirtualDomain"><instance_attributes id="i">
<nvpair id="i-c" name="config" value="/etc/web1.xml"/></instance_attributes></primitive>
<primitive id="vip" class="ocf" provider="kvmha" type="FloatingIP"/></resources><constraints/></configuration></cib>"""
STATUS = """\
<pacemaker-result><summary><current_dc present="true" with_quorum="true"/></summary><nodes>
<node name="n1" online="true" standby="false" unclean="false"/>
<node name="n2" online="{online}" standby="{standby}" unclean="false"/></nodes>
<resources><resource id="web1" resource_agent="ocf:kvmha:VirtualDomain" role="Started" active="true" failed="false">
<node name="n1"/></resource></resources></pacemaker-result>"""


@pytest.fixture
def host():
    host = FakeHost()
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    host.files["/etc/web1.xml"] = MOVABLE.encode()
    host.commands[cib.query_argv()] = CIB
    host.commands[crm_mon.ARGV] = STATUS.format(online="true", standby="false")
    host.commands[route.lookup_argv("n2")] = (2, "", "")
    return host


@pytest.fixture
def libvirt(host, monkeypatch):
    """Return a libvirt that answers on no node."""
    fake = FakeLibvirt(host)
    fake.trouble[""] = UNREACHABLE
    monkeypatch.setattr("kvmha.cli.moving.sight.Libvirt", lambda host, uri, left: fake)
    return fake


def refused(host, capsys, *words):
    code = main(list(words), host)
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("kvmha: ")
    return said.err[len("kvmha: ") :].strip()


@pytest.mark.parametrize("verb", ["migrate", "preflight"])
@pytest.mark.parametrize("name", ["web9", "vip", ""])
def test_what_is_no_guest_is_refused(host, capsys, verb, name):
    said = refused(host, capsys, verb, name or "''")
    assert said.endswith("is no guest of this cluster; there are web1")


def test_a_node_that_is_none_is_refused(host, capsys):
    wanted = '"n9" is no node of this cluster; there are n1, n2'
    assert refused(host, capsys, "migrate", "web1", "n9") == wanted
    assert refused(host, capsys, "preflight", "web1", "--to", "n9") == wanted
    assert refused(host, capsys, "drain", "n9") == wanted
    assert refused(host, capsys, "undrain", "n9") == wanted


def test_a_guest_that_is_there_already_is_refused(host, capsys):
    assert refused(host, capsys, "migrate", "web1", "n1") == "web1 runs on n1 already"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"online": "true", "standby": "true"}, "n2 is in standby"),
        ({"online": "false", "standby": "false"}, "not online"),
    ],
)
def test_a_target_that_takes_no_guests_is_refused(host, libvirt, capsys, state, said):
    host.commands[crm_mon.ARGV] = STATUS.format(**state)
    assert said in refused(host, capsys, "migrate", "web1", "n2")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param('failed="false"', 'failed="false" managed="false"', "does not manage web1", id="guest"),
        pytest.param('<node name="n2"', '<node name="n2" maintenance="true"', "n2 is in maintenance", id="target"),
    ],
)
def test_what_the_cluster_leaves_alone_is_not_moved(host, libvirt, capsys, old, new, said):
    shown = STATUS.format(online="true", standby="false")
    host.commands[crm_mon.ARGV] = shown.replace(old, new)
    assert said in refused(host, capsys, "migrate", "web1", "n2")
    host.commands[crm_mon.ARGV] = shown.replace('failed="false"', 'failed="false" managed="false" blocked="true"')
    assert "does not manage" not in refused(host, capsys, "migrate", "web1", "n2")


def test_a_node_that_is_drained_already_and_one_that_is_not(host, capsys):
    assert "not in standby" in refused(host, capsys, "undrain", "n2")
    host.commands[crm_mon.ARGV] = STATUS.format(online="true", standby="true")
    assert "in standby already" in refused(host, capsys, "drain", "n2")
    host.commands[crm_mon.ARGV] = STATUS.format(online="false", standby="false")
    assert "not online" in refused(host, capsys, "drain", "n2")


def test_without_a_cluster_it_says_so(host, capsys):
    host.commands[crm_mon.ARGV] = (crm_mon.DISCONNECTED, "", "")
    assert "no cluster answers" in refused(host, capsys, "migrate", "web1")


def test_what_a_preflight_found_is_written_down(host, libvirt, capsys):
    assert main(["preflight", "web1"], host) == 1
    assert "web1 to n2: cannot move there" in capsys.readouterr().out
    (entry,) = journal.entries(host)
    assert (entry.kind, entry.subject, entry.guests) == ("preflight", "preflight web1 n2", ("web1",))
    assert main(["replay", entry.id], host) == 0


@pytest.mark.parametrize(("xml", "code", "verdict"), [(MOVABLE, 0, "live"), (TIED, 1, "cold")])
def test_a_definition_is_judged_without_a_cluster(host, capsys, xml, code, verdict):
    host.files["/tmp/x.xml"] = xml.encode()
    assert main(["preflight", "--domain-xml", "/tmp/x.xml", "--json"], host) == code
    assert json.loads(capsys.readouterr().out)["verdict"] == verdict
    assert main(["preflight", "--domain-xml", "/tmp/x.xml"], host) == code
    assert "/tmp/x.xml: can move" in capsys.readouterr().out
    assert host.ran == []


def test_a_definition_that_is_none_is_refused(host, capsys):
    assert refused(host, capsys, "preflight", "--domain-xml", "/none") == "/none: No such file or directory"
    host.files["/tmp/x.xml"] = b"<network/>"
    assert "is no definition of a domain" in refused(host, capsys, "preflight", "--domain-xml", "/tmp/x.xml")
    host.files["/tmp/x.xml"] = b"<domain><devices/></domain>"
    assert "it has no <name>" in refused(host, capsys, "preflight", "--domain-xml", "/tmp/x.xml")
    assert "name a guest" in refused(host, capsys, "preflight")
    assert "--to names a node" in refused(host, capsys, "preflight", "--domain-xml", "/tmp/x.xml", "--to", "n2")


def test_where_a_size_is_not_known_placement_forbids_nothing():
    host = placement.HostRoom(name="n1", memory_mib=4096)
    guest = placement.GuestNeed(name="web1", memory_mib=512, node="n1")
    assert admission.is_known(placement.Cluster(hosts=(host,), guests=(guest,)))
    assert not admission.is_known(placement.Cluster(hosts=(host.replace(memory_mib=None),), guests=(guest,)))
    assert not admission.is_known(placement.Cluster(hosts=(host,), guests=(guest.replace(memory_mib=None),)))


ON_DRBD = CIB.replace(
    "</resources><constraints/>",
    '<primitive id="primary" class="ocf" provider="kvmha" type="DRBDPrimary"><instance_attributes id="p">'
    '<nvpair id="p-r" name="drbd_resource" value="r1"/></instance_attributes></primitive></resources>'
    '<constraints><rsc_colocation id="c" rsc="web1" with-rsc="primary" score="INFINITY"/></constraints>',
)
SCORES = (
    '</resources><node_attributes><node name="n2"><attribute name="drbd-promotion-score-r1" value="{0}"/></node>'
    "</node_attributes></pacemaker-result>"
)


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ("10000", "r1 is connected, and UpToDate on n2"),
        ("1000", "r1 is not connected to n2"),
        ("10", "r1 is not known to be UpToDate on n2"),
    ],
)
def test_from_a_node_that_is_neither_source_nor_target_promotion_scores_tell_of_the_disk(
    host, libvirt, capsys, score, said
):
    host.files["/proc/sys/kernel/hostname"] = b"n3\n"
    host.commands[cib.query_argv()] = ON_DRBD
    shown = STATUS.format(online="true", standby="false").replace("</nodes>", '<node name="n3" online="true"/></nodes>')
    host.commands[crm_mon.ARGV] = shown.replace("</resources></pacemaker-result>", SCORES.format(score))
    main(["preflight", "web1", "--to", "n2", "--json"], host)
    (target,) = json.loads(capsys.readouterr().out)["targets"]
    assert any(said in reason["said"] for reason in target["reasons"])
