"""Whose QEMU a process is, and what libvirt's status file says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmha.host import Process
from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.tools.qemu_process import (
    STATUS_FOLDER,
    find,
    find_any,
    may_be_qemu,
    monitor_path,
    parse_cmdline,
    parse_status,
    read_status,
    same_guest,
)
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


@pytest.mark.parametrize(
    "exe",
    [
        "/usr/bin/qemu-system-x86_64",
        "/usr/bin/qemu-system-x86_64 (deleted)",
        "/usr/libexec/qemu-kvm",
        "/usr/bin/kvm",
        "/usr/bin/kvm-spice",
        "/opt/vmm-2.1/vmm",
        "/usr/libexec/valgrind/memcheck-amd64-linux",
        "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "/memfd:qemu (deleted)",
        "",
    ],
)
def test_a_program_of_any_name_may_be_qemu(exe):
    assert may_be_qemu(exe)


@pytest.mark.parametrize(
    "exe",
    [
        "/usr/bin/dash",
        "/bin/sh",
        "/usr/bin/bash",
        "/usr/bin/bash (deleted)",
        "/usr/bin/grep",
        "/usr/bin/python3.11",
        "/usr/bin/python3",
        "/usr/bin/perl",
        "/usr/bin/busybox",
        "/usr/bin/vim.basic",
        "/usr/bin/sleep",
    ],
)
def test_a_program_that_only_carries_arguments_is_not_qemu(exe):
    assert not may_be_qemu(exe)


def test_a_carrier_counts_where_libvirt_noted_it_and_only_there():
    host, guest = FakeHost(), GuestIdentity(name="web1", uuid=UUID)
    host.processes = {7: qemu_cmdline("web1", UUID), 8: qemu_cmdline("web1", UUID), 9: qemu_cmdline("web1", UUID)}
    host.programs = {7: "/usr/bin/dash", 8: "/usr/bin/dash"}
    assert (find(host, guest), find_any(host)) == ([9], [9])
    host.files[f"{STATUS_FOLDER}/web1.xml"] = b"<domstatus state='running' reason='booted' pid='8'>"
    assert (find(host, guest), find_any(host)) == ([8, 9], [8, 9])
    assert read_status(host, guest) == GuestState(state="running", reason="booted", pid=8)


@pytest.mark.parametrize(
    ("process", "is_here"),
    [
        pytest.param(Process(state="Z", threads=2), True, id="threads-wait-for-the-storage"),
        pytest.param(Process(state="D", threads=1), True, id="closes-its-files"),
        pytest.param(Process(state="Z", threads=1), False, id="zombie"),
        pytest.param(Process(state="I", threads=1, is_kernel=True), False, id="kernel-thread-of-that-number"),
        pytest.param(None, False, id="gone"),
    ],
)
def test_a_process_that_is_ending_counts_until_it_has_let_go(process, is_here):
    host, guest = FakeHost(), GuestIdentity(name="web1", uuid=UUID)
    host.files[f"{STATUS_FOLDER}/web1.xml"] = b"<domstatus state='running' reason='booted' pid='8'>"
    host.processes[8] = ()
    host.states[8] = process
    assert find(host, guest) == ([8] if is_here else [])


def test_the_number_of_a_process_that_ended_may_be_anothers():
    host, guest = FakeHost(), GuestIdentity(name="web1", uuid=UUID)
    host.files[f"{STATUS_FOLDER}/web1.xml"] = b"<domstatus state='running' reason='booted' pid='8'>"
    host.processes[8] = ("/usr/bin/vim",)
    assert find(host, guest) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("<domstatus pid='1'>\n  <monitor path='/run/d-1/monitor.sock' type='unix'/>", "/run/d-1/monitor.sock"),
        ("<monitor type='unix' path='/run/a&amp;b&apos;c&amp;lt;/m'/>", "/run/a&b'c&lt;/m"),
        ("<monitors path='/x'/>", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_monitor_is_where_libvirt_noted_it(text, path):
    host = FakeHost()
    if text is not None:
        host.files[f"{STATUS_FOLDER}/web1.xml"] = text.encode()
    assert monitor_path(host, GuestIdentity(name="web1")) == path
