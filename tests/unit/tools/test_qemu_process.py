"""Whose QEMU a process is, and what libvirt's status file says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.tools.qemu_process import STATUS_FOLDER, find, find_any, parse_cmdline, parse_status, read_status, same_guest
from tests.fakes import FakeHost, qemu_cmdline

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
OTHER = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a02"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (
            "<domstatus state='running' reason='booted' pid='734'>",
            GuestState(state="running", reason="booted", pid=734),
        ),
        (
            '<domstatus state="paused" reason="from snapshot" pid="1">',
            GuestState(state="paused", reason="from snapshot", pid=1),
        ),
        ("<domstatus pid='7' reason='user' state='paused'>", GuestState(state="paused", reason="user", pid=7)),
        ("<domstatus state='running' pid='7'>", GuestState(state="running", reason="", pid=7)),
        (
            "<!--\nW > x\n-->\n\n<domstatus state='a' reason='b' pid='7'>\n <x pid='8'/>",
            GuestState(state="a", reason="b", pid=7),
        ),
    ],
)
def test_a_status_is_read_in_every_form(text, state):
    assert parse_status(text) == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<domain type='kvm'><name>x</name></domain>",
        "<domstatus state='running' reason='booted' pid='734'",
        "<domstatus state='running' reason='booted'>",
        "<domstatus state='running' pid=''>",
        "<domstatus state='running' pid='-1'>",
        "<domstatus state='running' pid='x'>",
        "<domstatus pid='734'>",
        "<domstatus state=running pid=734>",
        "<domstatuses state='running' pid='734'>",
        "\0" * 4096,
    ],
)
def test_what_is_no_whole_status_is_none(text):
    assert parse_status(text) is None


@given(st.text(max_size=60))
def test_no_text_at_all_breaks_the_reader(text):
    parse_status(text)
    parse_status(f"<domstatus {text}")


# What libvirt accepts: no slash and no line end. Of what is left, QEMU's option syntax only gives the comma a meaning.
NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\n\0"), min_size=1, max_size=30)


@given(
    NAMES,
    st.sampled_from(["", ",debug-threads=on", ",process=qemu-web,debug-threads=on"]),
    st.sampled_from(["guest=", ""]),
)
def test_a_name_survives_qemus_way_to_write_it(name, more, prefix):
    option = f"{prefix}{name.replace(',', ',,')}{more}"
    if not prefix and name.startswith("guest="):
        return
    assert parse_cmdline(("qemu", "-name", option, "-uuid", UUID)) == GuestIdentity(name=name, uuid=UUID)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("qemu-system-x86_64",),
        ("qemu-system-x86_64", "-name"),
        ("qemu-system-x86_64", "-name", "guest=web1"),
        ("qemu-system-x86_64", "-uuid", UUID),
        ("grep", "-e", f"-uuid {UUID}", "-name guest=web1"),
        ("sh", "-c", f"qemu-system-x86_64 -name guest=web1 -uuid {UUID}"),
        ("qemu-system-x86_64", "-name", "guest=,debug-threads=on", "-uuid", UUID),
    ],
)
def test_what_is_no_qemu_of_libvirt_is_nobodys(arguments):
    assert parse_cmdline(arguments) is None


def test_a_uuid_is_compared_whole():
    host = FakeHost()
    host.processes = {
        1: qemu_cmdline("web1", UUID),
        2: qemu_cmdline("web1", OTHER),
        3: qemu_cmdline("web1", UUID + "1"),
    }
    assert find(host, GuestIdentity(name="web1", uuid=UUID)) == [1]
    assert find_any(host) == [1, 2, 3]


def test_a_uuid_decides_over_a_name():
    host = FakeHost()
    host.processes = {1: qemu_cmdline("renamed", UUID), 2: qemu_cmdline("web1", OTHER)}
    assert find(host, GuestIdentity(name="web1", uuid=UUID)) == [1]


def test_a_uuid_in_capitals_on_the_command_line_is_the_same():
    host = FakeHost()
    host.processes = {1: qemu_cmdline("web1", UUID.upper())}
    assert find(host, GuestIdentity(name="web1", uuid=UUID)) == [1]


@pytest.mark.parametrize(
    ("wanted", "others"),
    [
        ("web.1", ["webX1", "web11", "web.10", "xweb.1"]),
        ("c++vm", ["cvm", "cccvm", "c++vm2"]),
        ("vm 7", ["vm", "vm 77", "vm  7"]),
        ("a,b", ["a", "a,", "b", "a,b,", "a,,b"]),
        ("guest=x", ["x"]),
        ("web1", ["WEB1", "web1 ", "web1-old"]),
    ],
)
def test_a_name_is_compared_whole(wanted, others):
    host = FakeHost()
    host.processes = {pid: qemu_cmdline(name, OTHER) for pid, name in enumerate(others, start=10)}
    assert find(host, GuestIdentity(name=wanted)) == []
    host.processes[7] = qemu_cmdline(wanted, UUID)
    assert find(host, GuestIdentity(name=wanted)) == [7]


def test_two_identities_without_a_uuid_on_one_side_are_told_apart_by_name():
    assert same_guest(GuestIdentity(name="a"), GuestIdentity(name="a", uuid=UUID))
    assert not same_guest(GuestIdentity(name="a"), GuestIdentity(name="b", uuid=UUID))


def test_a_status_file_counts_only_with_its_process():
    host, guest = FakeHost(), GuestIdentity(name="web1", uuid=UUID)
    host.files[f"{STATUS_FOLDER}/web1.xml"] = b"<domstatus state='running' reason='booted' pid='734'>"
    assert read_status(host, guest) is None
    host.processes[734] = ("/usr/bin/vim",)
    assert read_status(host, guest) is None
    host.processes[734] = qemu_cmdline("web1", UUID)
    assert read_status(host, guest) == GuestState(state="running", reason="booted", pid=734)


@pytest.mark.parametrize("error", [PermissionError(13, "x"), OSError(5, "x"), OSError(36, "File name too long")])
def test_a_status_file_that_cannot_be_read_shows_nothing(error):
    host = FakeHost()
    host.files[f"{STATUS_FOLDER}/web1.xml"] = error
    assert read_status(host, GuestIdentity(name="web1", uuid=UUID)) is None
