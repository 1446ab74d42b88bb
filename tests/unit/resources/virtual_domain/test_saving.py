"""What is kept of a guest that stops: its definition, and its memory instead of a shutdown."""

from __future__ import annotations

import os

import pytest

from kvmha.host import CommandMissing, CommandTimeout, Host
from kvmha.ocf import codes
from tests.fakes import HANGS, REFUSES, UNREACHABLE, FakeLibvirt
from tests.unit.resources.virtual_domain.calls import CONFIG, OTHER, REMEMBERED, UUID, Killed, call, definition, reason

CHANGED = definition(more="<!-- a device more, by virsh -->")
SYNC = ("csync2", "-x", CONFIG)
KEEPING = pytest.mark.parametrize("keep", [{"save_config_on_stop": "1"}, {"sync_config_on_stop": "1"}])
FOLDER = "/srv/states"
STATE, DRAFT, CLAIMED = f"{FOLDER}/web1.state", f"{FOLDER}/web1.state.new", f"{FOLDER}/web1.state.restoring"
SNAPSHOT = {"config": CONFIG, "snapshot": FOLDER}
WHOLE = b"LibvirtQemudSave" + definition().encode()


@pytest.fixture(autouse=True)
def _world(host, config):
    host.commands[SYNC] = ""
    host.files[f"{FOLDER}/.keep"] = b""


# ----------------------------------------------------------------- the definition


@KEEPING
class TestDefinition:
    """save_config_on_stop and sync_config_on_stop, which is the former and csync2."""

    def synced(self, host):
        return [argv for argv in host.ran if argv[0] == "csync2"]

    def test_a_guest_that_was_changed_has_its_definition_saved_when_it_stops(self, host, libvirt, keep):
        assert call(host, "start", **keep) == codes.SUCCESS
        libvirt.guests[0].xml = CHANGED
        assert call(host, "stop", **keep) == codes.SUCCESS
        assert host.files[CONFIG].decode() == CHANGED
        assert self.synced(host) == ([SYNC] if "sync_config_on_stop" in keep else [])

    def test_a_guest_that_was_not_changed_has_its_file_left_alone(self, host, libvirt, keep, monkeypatch):
        # What libvirt makes of a definition is not what the file says, and no change either.
        plain = FakeLibvirt.definition_to_keep
        monkeypatch.setattr(FakeLibvirt, "definition_to_keep", lambda self, guest: f"{plain(self, guest)}<!-- pci -->")
        for _repeated in range(2):
            assert call(host, "start", **keep) == codes.SUCCESS
        assert call(host, "stop", **keep) == codes.SUCCESS
        assert host.files[CONFIG].decode() == definition()
        assert self.synced(host) == []

    def test_without_a_memory_of_the_start_the_file_is_compared(self, host, libvirt, keep):
        libvirt.run_guest().xml = definition()
        assert call(host, "stop", **keep) == codes.SUCCESS
        assert host.files[CONFIG].decode() == definition()
        assert self.synced(host) == []
        libvirt.run_guest().xml = CHANGED
        assert call(host, "stop", **keep) == codes.SUCCESS
        assert host.files[CONFIG].decode() == CHANGED

    @pytest.mark.parametrize(
        "there",
        [definition("web1", OTHER).encode(), definition("db1", OTHER).encode(), b"<domain>", b"", None, HANGS],
        ids=["other-uuid", "other-guest", "cut", "empty", "gone", "hangs"],
    )
    def test_nothing_but_the_guests_own_definition_is_written_over(self, host, libvirt, keep, there, log):
        libvirt.run_guest().xml = CHANGED
        host.files[REMEMBERED] = f"source={CONFIG}\nname=web1\nuuid={UUID}\n".encode()
        host.files[CONFIG] = there
        assert call(host, "stop", **keep) == codes.SUCCESS
        assert host.files[CONFIG] == there
        assert not host.processes
        assert any("was not saved" in line for line in log)

    @pytest.mark.parametrize("trouble", [HANGS, REFUSES, UNREACHABLE])
    def test_a_definition_that_cannot_be_had_keeps_no_guest_from_stopping(self, host, libvirt, keep, trouble):
        libvirt.run_guest().xml = CHANGED
        libvirt.trouble["definition_to_keep"] = trouble
        assert call(host, "stop", **keep) == codes.SUCCESS
        assert not host.processes
        assert host.files[CONFIG].decode() == definition()

    def test_a_guest_that_libvirt_keeps_as_well_is_not_saved_from_there(self, host, libvirt, keep, log):
        guest = libvirt.run_guest()
        guest.is_persistent, guest.xml = True, CHANGED
        assert call(host, "stop", **keep) == codes.SUCCESS
        assert host.files[CONFIG].decode() == definition()
        assert any("keeps changes there" in line for line in log)

    def test_it_is_refused_for_a_persistent_domain(self, host, libvirt, keep, capfd):
        assert call(host, "validate-all", {"domain": "web1", **keep}) == codes.ERR_CONFIGURED
        assert "the definition of a persistent domain is kept by libvirt" in reason(capfd)


def test_a_guest_that_was_changed_before_it_came_here_has_its_definition_saved_here_as_well(host, libvirt):
    libvirt.run_guest().xml = CHANGED
    assert call(host, "migrate_from", save_config_on_stop="1") == codes.SUCCESS
    assert call(host, "stop", save_config_on_stop="1") == codes.SUCCESS
    assert host.files[CONFIG].decode() == CHANGED


def test_the_definition_is_not_saved_unasked(host, libvirt):
    libvirt.run_guest().xml = CHANGED
    assert call(host, "stop") == codes.SUCCESS
    assert host.files[CONFIG].decode() == definition()


@pytest.mark.parametrize("how", [CommandMissing, CommandTimeout, (1, "", "no connection to n2")])
def test_a_csync2_that_fails_is_a_warning_at_a_stop(host, libvirt, how, log):
    libvirt.run_guest().xml = CHANGED
    host.commands[SYNC] = how
    assert call(host, "stop", sync_config_on_stop="1") == codes.SUCCESS
    assert host.files[CONFIG].decode() == CHANGED
    assert any("csync2" in line for line in log)


def test_a_csync2_that_is_missing_is_told_before_a_start(host, libvirt, monkeypatch, capfd):
    monkeypatch.setattr(host, "which", lambda program: None)
    assert call(host, "start", sync_config_on_stop="1") == codes.ERR_INSTALLED
    assert "csync2, which sync_config_on_stop needs" in reason(capfd)
    assert call(host, "validate-all", level=10, sync_config_on_stop="1") == codes.ERR_INSTALLED
    assert call(host, "validate-all", sync_config_on_stop="1") == codes.SUCCESS


def test_a_rewritten_file_keeps_its_mode_and_its_links(tmp_path):
    real, link = tmp_path / "real.xml", tmp_path / "web1.xml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    Host().rewrite(str(link), "new")
    assert (link.is_symlink(), real.read_text(), real.stat().st_mode & 0o777) == (True, "new", 0o640)
    assert sorted(os.listdir(tmp_path)) == ["real.xml", "web1.xml"]
    with pytest.raises(FileNotFoundError):
        Host().rewrite(str(tmp_path / "gone.xml"), "new")


# ---------------------------------------------------------------------- the memory


def test_a_guest_is_saved_instead_of_shut_down_and_goes_on_at_the_next_start(host, libvirt):
    assert call(host, "start", SNAPSHOT) == codes.SUCCESS
    assert call(host, "stop", SNAPSHOT) == codes.SUCCESS
    assert not host.processes
    assert "shutdown" not in libvirt.calls
    assert host.files[STATE] == WHOLE
    libvirt.calls.clear()
    assert call(host, "start", SNAPSHOT) == codes.SUCCESS
    assert "create" not in libvirt.calls
    assert libvirt.calls.count("restore") == 1
    assert [name for name in host.files if name.startswith(f"{FOLDER}/w")] == []
    assert call(host, "monitor", SNAPSHOT) == codes.SUCCESS


def test_a_persistent_domain_is_saved_and_goes_on_as_well(host, libvirt):
    libvirt.define_guest().xml = definition()
    given = {"domain": UUID, "snapshot": FOLDER}
    assert call(host, "start", given) == codes.SUCCESS
    assert call(host, "stop", given) == codes.SUCCESS
    assert STATE in host.files
    assert call(host, "start", given) == codes.SUCCESS
    assert libvirt.calls.count("restore") == 1
    assert STATE not in host.files


@pytest.mark.parametrize("trouble", [REFUSES, HANGS, "too-long"])
def test_a_save_that_fails_ends_in_a_shutdown_and_leaves_no_state(host, libvirt, trouble):
    libvirt.run_guest()
    if trouble == "too-long":
        libvirt.saving = None
    else:
        libvirt.trouble["save"] = trouble
    host.files[STATE] = b"LibvirtQemudSave of long ago"
    assert call(host, "stop", SNAPSHOT) == codes.SUCCESS
    assert not host.processes
    assert "shutdown" in libvirt.calls
    assert STATE not in host.files
    libvirt.trouble.clear()
    assert call(host, "start", SNAPSHOT) == codes.SUCCESS
    assert "restore" not in libvirt.calls
    assert DRAFT not in host.files


@pytest.mark.parametrize("state", [("paused", "ioerror"), ("crashed", "panicked"), ("paused", "migration")])
def test_a_guest_that_is_not_well_is_not_saved(host, libvirt, state):
    libvirt.put_state(libvirt.run_guest(), *state)
    assert call(host, "stop", SNAPSHOT) == codes.SUCCESS
    assert "save" not in libvirt.calls
    assert STATE not in host.files


def test_a_state_from_before_the_guest_ran_does_not_outlive_a_stop_without_libvirt(host, libvirt):
    libvirt.run_guest()
    host.files[STATE] = WHOLE
    libvirt.trouble[""] = HANGS
    assert call(host, "stop", SNAPSHOT) == codes.SUCCESS
    assert STATE not in host.files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"LibvirtQemudSave" + definition("web1", OTHER).encode(), f"is the state of web1 ({OTHER})"),
        (b"LibvirtQemudSave" + definition("db1", UUID).encode(), f"is the state of db1 ({UUID})"),
        (b"LibvirtQemudPart", "is no state to go on from"),
        (b"LibvirtQemudSave<domain>", "is no state to go on from"),
    ],
    ids=["other-uuid", "other-name", "part", "broken"],
)
def test_a_state_that_is_not_the_guests_is_refused_and_kept(host, libvirt, content, said, capfd):
    host.files[STATE] = content
    assert call(host, "start", SNAPSHOT) == codes.ERR_GENERIC
    assert said in reason(capfd)
    assert host.files[STATE] == content
    assert not host.processes
    assert REMEMBERED not in host.files


def test_a_state_that_libvirt_refuses_to_go_on_from_is_kept(host, libvirt):
    host.files[STATE] = WHOLE
    libvirt.trouble["restore"] = REFUSES
    assert call(host, "start", SNAPSHOT) == codes.ERR_GENERIC
    assert host.files[STATE] == WHOLE
    assert not host.processes
    libvirt.trouble.clear()
    assert call(host, "start", SNAPSHOT) == codes.SUCCESS
    assert STATE not in host.files


def test_a_state_is_used_once_even_if_nobody_knows_whether_the_guest_ran_on_from_it(host, libvirt, log):
    host.files[STATE] = WHOLE
    libvirt.trouble["restore"] = HANGS
    assert call(host, "start", SNAPSHOT) == codes.ERR_GENERIC
    assert STATE not in host.files
    libvirt.trouble.clear()
    assert call(host, "stop", SNAPSHOT) == codes.SUCCESS
    assert call(host, "start", SNAPSHOT) == codes.SUCCESS
    assert libvirt.calls.count("restore") == 1
    assert any("is left of a start that did not end" in line for line in log)


@pytest.mark.parametrize(("content", "restores"), [(WHOLE, 1), (b"LibvirtQemudPart", 0)], ids=["whole", "part"])
def test_the_save_of_a_killed_stop_is_used_if_it_is_whole(host, libvirt, content, restores):
    host.files[DRAFT] = content
    assert call(host, "start", SNAPSHOT) == codes.SUCCESS
    assert libvirt.calls.count("restore") == restores
    assert not {STATE, DRAFT, CLAIMED} & host.files.keys()


@pytest.mark.parametrize("step", ["save", "rename", "restore", "remove"])
def test_killed_at_any_step_the_guest_never_goes_on_from_a_state_that_does_not_fit(host, libvirt, monkeypatch, step):
    """The disks change with every run: a state fits only until the guest has run."""
    assert call(host, "start", SNAPSHOT) == codes.SUCCESS
    owner = FakeLibvirt if step in ("save", "restore") else type(host)
    action = "stop" if step in ("save", "rename") else "start"
    if action == "start":
        assert call(host, "stop", SNAPSHOT) == codes.SUCCESS
    really = getattr(owner, step)

    def dies(self, what, *more, **named):
        # The state's files only: what is remembered is removed by others.
        if owner is not FakeLibvirt and not what.startswith(FOLDER):
            return really(self, what, *more, **named)
        really(self, what, *more, **named)
        raise Killed

    # Dies after it was done, which is the harder half.
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, dies)
        with pytest.raises(Killed):
            call(host, action, SNAPSHOT)
    if action == "start" and not host.processes:
        # Killed in the claim: nobody has asked libvirt, and nobody knows that.
        assert step == "rename"
    ran_since = bool(host.processes)
    assert call(host, "stop", {"config": CONFIG}) == codes.SUCCESS
    restored = libvirt.calls.count("restore")
    assert call(host, "start", SNAPSHOT) == codes.SUCCESS
    if ran_since:
        assert libvirt.calls.count("restore") == restored


def test_a_folder_that_is_not_there_is_told_before_a_start(host, libvirt, capfd):
    host.files.pop(f"{FOLDER}/.keep")
    assert call(host, "start", SNAPSHOT) == codes.ERR_GENERIC
    assert reason(capfd) == f"snapshot={FOLDER} is not there"


@pytest.mark.parametrize(
    ("params", "said"),
    [({"force_stop": "1", "snapshot": FOLDER}, "only one of them can be"), ({"snapshot": "states"}, "absolute path")],
)
def test_contradictions_are_refused_and_keep_no_guest_from_stopping(host, libvirt, params, said, capfd):
    for action in ("start", "validate-all", "reload-agent"):
        assert call(host, action, **params) == codes.ERR_CONFIGURED
        assert said in reason(capfd)
    libvirt.run_guest()
    assert call(host, "stop", **params) == codes.SUCCESS
    assert not host.processes
