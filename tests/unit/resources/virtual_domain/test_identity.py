"""Who the guest is: by its definition, or by the name or UUID of a persistent domain."""

from __future__ import annotations

import pytest

from kvmha.ocf import codes
from tests.fakes import HANGS, LOST, UNREACHABLE, qemu_cmdline
from tests.unit.resources.virtual_domain.calls import CONFIG, OTHER, REMEMBERED, UUID, call, definition, reason

BY = pytest.mark.parametrize("domain", ["web1", UUID, UUID.upper()], ids=["name", "uuid", "capitals"])
GONE = pytest.mark.parametrize("trouble", [HANGS, UNREACHABLE, LOST])


@BY
class TestPersistentDomain:
    """The guest is a domain that libvirt has, by its name or its UUID."""

    def test_it_is_started_as_it_is_defined_and_remembered_with_name_and_uuid(self, host, libvirt, domain):
        libvirt.define_guest()
        assert call(host, "monitor", {"domain": domain}) == codes.NOT_RUNNING
        assert call(host, "start", {"domain": domain}) == codes.SUCCESS
        assert "create" not in libvirt.calls
        assert host.files[REMEMBERED].decode() == f"source={domain}\nname=web1\nuuid={UUID}\n"
        assert call(host, "monitor", {"domain": domain}) == codes.SUCCESS

    def test_it_stays_defined_when_it_stops(self, host, libvirt, domain):
        libvirt.define_guest()
        assert call(host, "start", {"domain": domain}) == codes.SUCCESS
        assert call(host, "stop", {"domain": domain}) == codes.SUCCESS
        assert not host.processes
        assert [guest.is_persistent for guest in libvirt.guests] == [True]

    @GONE
    def test_probe_and_stop_need_neither_libvirt_nor_memory(self, host, libvirt, domain, trouble):
        libvirt.run_guest().is_persistent = True
        libvirt.run_guest("db1", OTHER, pid=800)
        libvirt.trouble[""] = trouble
        assert call(host, "monitor", {"domain": domain}) == codes.SUCCESS
        assert call(host, "stop", {"domain": domain}) == codes.SUCCESS
        assert list(host.processes) == [800]

    @GONE
    def test_what_does_not_run_is_not_running_beside_others(self, host, libvirt, domain, trouble):
        libvirt.run_guest("web1-old", OTHER)
        libvirt.trouble[""] = trouble
        assert call(host, "monitor", {"domain": domain}) == codes.NOT_RUNNING

    def test_a_node_that_does_not_have_it_is_told_what_to_do(self, host, libvirt, domain, capfd):
        assert call(host, "start", {"domain": domain}) == codes.ERR_INSTALLED
        assert "virsh define makes one" in reason(capfd)
        assert REMEMBERED not in host.files
        assert call(host, "validate-all", {"domain": domain}, level=10) == codes.ERR_INSTALLED
        assert call(host, "validate-all", {"domain": domain}) == codes.SUCCESS

    def test_a_guest_that_runs_is_here_although_libvirt_has_forgotten_its_definition(self, host, libvirt, domain):
        libvirt.run_guest()
        assert call(host, "start", {"domain": domain}) == codes.SUCCESS
        assert libvirt.calls.count("start") == 0
        assert f"uuid={UUID}" in host.files[REMEMBERED].decode()

    def test_a_guest_that_arrives_is_remembered_with_both(self, host, libvirt, domain):
        libvirt.run_guest()
        assert call(host, "migrate_from", {"domain": domain}) == codes.SUCCESS
        assert host.files[REMEMBERED].decode() == f"source={domain}\nname=web1\nuuid={UUID}\n"


def test_a_persistent_domain_of_the_same_definition_stays_as_it_was(host, libvirt, config):
    kept = libvirt.define_guest()
    kept.xml = definition(more="<!-- libvirt's own -->")
    assert call(host, "start") == codes.SUCCESS
    assert call(host, "stop") == codes.SUCCESS
    (left,) = libvirt.guests
    assert (left.is_persistent, left.xml) == (True, kept.xml)


@pytest.mark.parametrize("given", [None, {"domain": "web1"}], ids=["config", "domain"])
class TestAgainstLibvirt:
    """What libvirt would do by itself, or has kept, speaks against a start."""

    def test_autostart_is_refused_with_the_command_that_ends_it(self, host, libvirt, config, given, capfd):
        libvirt.define_guest().starts_with_host = True
        assert call(host, "start", given) == codes.ERR_INSTALLED
        assert "virsh autostart --disable 'web1'" in reason(capfd)
        assert not host.processes
        assert REMEMBERED not in host.files
        assert call(host, "validate-all", given, level=10) == codes.ERR_INSTALLED
        assert call(host, "validate-all", given) == codes.SUCCESS

    def test_a_managed_save_that_may_be_older_than_the_disks_is_refused(self, host, libvirt, config, given, capfd):
        libvirt.define_guest().is_saved = True
        assert call(host, "start", given) == codes.ERR_INSTALLED
        assert "virsh managedsave-remove 'web1'" in reason(capfd)
        assert not host.processes

    def test_neither_keeps_a_running_guest_from_being_seen_and_stopped(self, host, libvirt, config, given):
        guest = libvirt.run_guest()
        guest.is_persistent = guest.starts_with_host = guest.is_saved = True
        assert call(host, "start", given) == codes.SUCCESS
        assert call(host, "monitor", given) == codes.SUCCESS
        assert call(host, "stop", given) == codes.SUCCESS
        assert not host.processes


@pytest.mark.parametrize(
    ("name", "uuid"), [("web1", OTHER), ("old-name", UUID)], ids=["name-of-another", "uuid-of-another"]
)
def test_a_name_or_uuid_that_is_taken_is_refused_with_both_numbers(host, libvirt, config, name, uuid, capfd):
    libvirt.define_guest(name, uuid)
    assert call(host, "start") == codes.ERR_INSTALLED
    said = reason(capfd)
    assert f"the domain {name} with UUID {uuid}" in said
    assert f"web1 with {UUID}" in said
    assert "create" not in libvirt.calls


def test_a_running_guest_of_the_same_name_and_another_uuid_is_refused_and_not_taken_for_ours(
    host, libvirt, config, capfd
):
    libvirt.run_guest("web1", OTHER)
    assert call(host, "monitor") == codes.NOT_RUNNING
    assert call(host, "start") == codes.ERR_GENERIC
    assert f"the running guest web1 with UUID {OTHER}" in reason(capfd)
    assert call(host, "stop") == codes.SUCCESS
    assert host.processes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "neither config nor domain is set"),
        ({"config": CONFIG, "domain": "web1"}, "are both set"),
        ({"domain": "/etc/web1.xml"}, "belongs into config"),
    ],
)
def test_exactly_one_thing_names_the_guest(host, libvirt, config, given, said, capfd):
    for action in ("start", "validate-all"):
        assert call(host, action, given) == codes.ERR_CONFIGURED
        assert said in reason(capfd)


def test_a_definition_on_a_file_system_that_hangs_costs_its_share_of_the_time(host, libvirt, capfd):
    host.files[CONFIG] = HANGS
    assert call(host, "start") == codes.ERR_GENERIC
    assert "could not be read within 10 s" in reason(capfd)
    assert call(host, "monitor") == codes.NOT_RUNNING
    assert call(host, "stop") == codes.SUCCESS
    libvirt.run_guest()
    assert call(host, "monitor") == codes.ERR_GENERIC
    assert "cannot tell whether the guest runs here" in reason(capfd)
    assert call(host, "stop") == codes.ERR_GENERIC
    host.files[REMEMBERED] = f"source={CONFIG}\nname=web1\nuuid={UUID}\n".encode()
    assert call(host, "monitor") == codes.SUCCESS
    assert call(host, "stop") == codes.SUCCESS
    assert not host.processes


class TestNoUuid:
    """The definition leaves it to libvirt to make a UUID, which is another one at every start."""

    @pytest.fixture(autouse=True)
    def _definition(self, host):
        host.files[CONFIG] = definition(uuid="").encode()

    def test_it_is_started_with_a_warning(self, host, libvirt, log):
        assert call(host, "start") == codes.SUCCESS
        assert any("has no <uuid>" in line for line in log)

    def test_it_is_found_by_its_exact_name_and_then_by_both(self, host, libvirt):
        libvirt.run_guest("web10", OTHER)
        assert call(host, "monitor") == codes.NOT_RUNNING
        libvirt.run_guest("web1", UUID, pid=735)
        assert call(host, "migrate_from") == codes.SUCCESS
        assert f"uuid={UUID}" in host.files[REMEMBERED].decode()


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("", codes.ERR_CONFIGURED),
        (" persistent_state='yes'", codes.SUCCESS),
        (" persistent_state='no'", codes.SUCCESS),
    ],
    ids=["unsaid", "kept", "forgotten-on-purpose"],
)
def test_a_transient_guest_does_not_lose_its_tpm_unasked(host, libvirt, state, code, capfd):
    tpm = f"<devices><tpm model='tpm-crb'><backend type='emulator' version='2.0'{state}/></tpm></devices>"
    host.files[CONFIG] = definition(more=tpm).encode()
    assert call(host, "start") == code
    assert ("persistent_state='yes'" in reason(capfd)) is (code != codes.SUCCESS)
    # Of a guest that is defined in libvirt, the state is kept in any case.
    libvirt.guests.clear()
    host.processes.clear()
    libvirt.define_guest().xml = definition(more=tpm)
    assert call(host, "start") == codes.SUCCESS


NAMES = ["web.1", "webX1", "c++vm", "cvm", "vm 7", "vm", "a,b", "a", "ünï", "uni", "(x|y)", "web1&amp;"]


@pytest.mark.parametrize("uuid", [True, False], ids=["uuid", "name-only"])
def test_names_are_told_apart_side_by_side(host, libvirt, uuid):
    """Each is seen where only the others run, without libvirt, and each is stopped alone."""
    extra = "<metadata><app xmlns='urn:x'><name>web.1</name><uuid>none</uuid></app></metadata>"
    uuids = [f"3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a{number:02x}" for number in range(0x10, 0x10 + len(NAMES))]
    for number, name in enumerate(NAMES):
        host.files[f"/{number}.xml"] = definition(name, uuids[number] if uuid else "", extra).encode()
    for number, name in enumerate(NAMES):
        assert call(host, "monitor", {"config": f"/{number}.xml"}) == codes.NOT_RUNNING, name
        plain = name.replace("&amp;", "&")
        libvirt.run_guest(plain, uuids[number], pid=500 + number)
        assert call(host, "monitor", {"config": f"/{number}.xml"}) == codes.SUCCESS, name
        assert call(host, "monitor", {"domain": plain}) == codes.SUCCESS, name
    libvirt.trouble[""] = UNREACHABLE
    for number, name in enumerate(NAMES):
        assert call(host, "stop", {"config": f"/{number}.xml"}) == codes.SUCCESS
        assert sorted(host.processes) == list(range(501 + number, 500 + len(NAMES))), name


@pytest.mark.parametrize("param", ["migration_downtime", "monitor_scripts", "on_paused", "force_stop"])
def test_a_changed_tuning_parameter_is_taken_over_without_touching_the_guest(host, libvirt, config, param):
    libvirt.run_guest()
    value = {"migration_downtime": "50", "monitor_scripts": "/bin/true", "on_paused": "running", "force_stop": "1"}
    before = dict(host.files), dict(host.processes)
    assert call(host, "reload-agent", **{param: value[param]}) == codes.SUCCESS
    assert (host.files, host.processes, libvirt.calls) == (*before, [])


def test_a_process_that_is_known_by_its_uuid_alone_has_its_name_from_there(host):
    from kvmha.policy.model import GuestIdentity
    from kvmha.tools import qemu_process

    host.processes[7] = qemu_cmdline("a,b", UUID)
    assert qemu_process.complete(host, GuestIdentity(uuid=UUID)) == GuestIdentity(name="a,b", uuid=UUID)
    assert qemu_process.complete(host, GuestIdentity(uuid=OTHER)) == GuestIdentity(uuid=OTHER)
    assert qemu_process.find(host, GuestIdentity()) == []
