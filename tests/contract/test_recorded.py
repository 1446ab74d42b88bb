"""What the real tools printed, byte by byte, and what we must read in it. The folder's name tells tool and version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.tools.cluster_log import parse_entry
from kvmha.tools.crm_mon import parse
from kvmha.tools.qemu_process import HEAD, parse_cmdline, parse_status

RECORDED = Path(__file__).parent / "recorded"


@pytest.mark.parametrize(
    ("file", "state"),
    [
        ("running.xml", GuestState(state="running", reason="booted", pid=70)),
        ("paused-user.xml", GuestState(state="paused", reason="user", pid=70)),
        ("comma-in-name.xml", GuestState(state="running", reason="booted", pid=91)),
    ],
)
def test_libvirts_status_file_is_read_from_its_head(file, state):
    head = (RECORDED / "libvirt-9.0" / file).read_bytes()[:HEAD]
    assert parse_status(head.decode()) == state


@pytest.mark.parametrize(
    ("file", "identity"),
    [
        ("cmdline", GuestIdentity(name="web1", uuid="3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01")),
        ("cmdline-comma-in-name", GuestIdentity(name="a,b c++", uuid="3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a02")),
    ],
)
def test_the_qemu_that_libvirt_starts_tells_whose_it_is(file, identity):
    arguments = tuple((RECORDED / "libvirt-9.0" / file).read_text().splitlines())
    assert parse_cmdline(arguments) == identity


FAILOVER = [
    ("lost", "", ""),
    ("lost", "n2", ""),
    ("lost", "n2", ""),
    ("fencing asked", "n2", ""),
    ("fencing asked", "n2", ""),
    ("fencing confirmed", "n2", ""),
    ("start asked", "fence-n1", "n3"),
    ("started", "fence-n1", "n3"),
    ("start asked", "web2", "n3"),
    ("started", "web2", "n3"),
    ("start asked", "web1", "n1"),
    ("start asked", "vip", "n1"),
]


@pytest.mark.parametrize(
    ("version", "first"), [("pacemaker-2.1.5", 1795404733.436368), ("pacemaker-3.0.0", 1795405585.826846)]
)
def test_the_journal_of_a_failover_is_read_as_its_phases(version, first):
    lines = (RECORDED / version / "journal.json").read_text().splitlines()
    entries = [entry for entry in map(parse_entry, lines) if entry is not None]
    assert len(entries) < len(lines), "the recording holds lines that tell nothing"
    assert [(entry.kind, entry.subject, entry.node) for entry in entries] == FAILOVER
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert entries[0].at == first


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"MESSAGE": null, "__REALTIME_TIMESTAMP": "1"}'])
def test_a_line_that_is_no_journal_entry_tells_nothing(line):
    assert parse_entry(line) is None


def test_a_message_of_bytes_is_read_like_one_of_text():
    message = json.dumps(list(b"notice: Node n2 state is now lost\xff"))
    entry = parse_entry(f'{{"MESSAGE": {message}, "__REALTIME_TIMESTAMP": "1500000"}}')
    assert (entry.kind, entry.subject, entry.at) == ("lost", "n2", 1.5)


@pytest.mark.parametrize(
    ("version", "places"),
    [
        ("pacemaker-2.1.5", {"fence-n1": ("n3",), "web1": ("n1",), "web2": ("n3",), "web3": ("n3",), "vip": ("n1",)}),
        ("pacemaker-3.0.0", {"fence-n1": ("n3",), "web1": ("n1",), "web2": ("n3",), "web3": ("n3",), "vip": ("n1",)}),
    ],
)
def test_crm_mons_view_of_a_cluster_is_read(version, places):
    status = parse((RECORDED / version / "crm_mon.xml").read_text())
    assert status.is_quorate
    assert [(node.name, node.is_online, node.is_unclean, node.is_standby) for node in status.nodes] == [
        ("n1", True, False, False),
        ("n2", True, False, False),
        ("n3", True, False, False),
    ]
    found = {resource.name: resource.nodes for resource in status.resources}
    assert {name: found[name] for name in places} == places
    assert sorted(set(found) - set(places)) == ["fence-n2", "fence-n3"]
    assert not [resource for resource in status.resources if resource.is_failed or resource.pending]


@pytest.mark.parametrize("text", ["", "crm_mon: Connection to cluster failed", "<pacemaker-result/>", "<a><b></a>"])
def test_what_crm_mon_says_without_a_cluster_is_no_view(text):
    assert parse(text) is None
