"""Local disks on their way to another node: stopped first, compared, set aside; and undone whatever goes wrong."""

from __future__ import annotations

import json
import os

import pytest

from kvmha.cli.main import main
from kvmha.cli.moving import copying, cut_short, local_disks
from kvmha.cli.moving.copying import Carrying, CopyError
from kvmha.errors import UserError
from kvmha.host import CommandFailed, CommandTimeout, Completed
from kvmha.policy import copying as policy
from kvmha.policy import migration
from kvmha.tools import cib, qemu_img, route, stat
from kvmha.tools.cib import moves
from tests.fakes import REFUSES, UNREACHABLE
from tests.unit.cli.test_through_pacemaker import UUID, World

PATH = "/disks/web1.img"
XML = f"""<domain type='kvm'><name>web1</name><uuid>{UUID}</uuid><memory unit='MiB'>64</memory>
<devices><disk type='file' device='disk'><source file='{PATH}'/><target dev='vda'/></disk></devices></domain>"""


class Cluster(World):
    """A cluster that obeys the constraint: it stops the guest that is held, and starts it when that ends."""

    def __init__(self, monkeypatch):
        super().__init__(monkeypatch)
        self.host.files[PATH] = b"what is on the disk"
        self.host.files["/etc/web1.xml"] = XML.encode()
        self.guest.xml = XML
        self.there.host.files["/etc/web1.xml"] = XML.encode()
        self.there.sender = self.host
        self.host.commands[stat.argv(PATH)] = "19 8 512 600 64055 108\n"
        self.host.commands[qemu_img.info_argv(PATH)] = '{"format": "raw"}'
        monkeypatch.setattr(self.host, "wall_clock", lambda: 1_800_000_000.0 + self.host.now())
        self.said = []
        self.obeys = True

    def change(self, host, edit, **options):
        super().change(host, edit, **options)
        if not self.obeys:
            return
        is_held = "held" in (self.edited or "")
        if is_held and self.guest.is_active:
            self.here.end(self.guest)
            self.show()
        elif not is_held and not self.guest.is_active:
            self.guest = self.here.run_guest("web1", UUID)
            self.show("n1")

    def carrying(self):
        guest = self.sight.guest("web1")
        found = policy.decide(local_disks.look(self.sight, guest, "n2"))
        assert found.reasons == ()
        return Carrying(self.sight, guest, "n2", found, say=self.said.append)

    def held(self):
        return moves.wished(cib.tree(self.text()))


@pytest.fixture
def cluster(monkeypatch):
    return Cluster(monkeypatch)


def test_the_disk_is_there_and_the_own_one_has_another_name_before_the_guest_may_start(cluster):
    carrying = cluster.carrying()
    carrying.run()
    assert cluster.there.host.files[PATH] == b"what is on the disk"
    assert PATH not in cluster.host.files
    aside = carrying.set_aside[PATH]
    assert aside.startswith(f"{PATH}.moved-to-n2-")
    assert cluster.host.files[aside] == b"what is on the disk"
    assert cluster.held() == ("web1",)
    assert not cluster.guest.is_active
    assert cluster.host.closed == [PATH]
    assert carrying.copied[0].digest in cluster.said[-1]


def undone(cluster):
    assert PATH in cluster.host.files
    assert PATH not in cluster.there.host.files
    assert cluster.held() == ()
    assert cluster.guest.is_active


def test_a_copy_that_is_another_is_no_copy(cluster):
    cluster.there.spoils = True
    with pytest.raises(CopyError, match=r"is another than the original.*web1 was started on n1 again"):
        cluster.carrying().run()
    undone(cluster)


def test_a_target_that_breaks_off_leaves_all_as_it_was(cluster):
    carrying = cluster.carrying()
    cluster.there.trouble["digest_of"] = UNREACHABLE
    with pytest.raises(CopyError, match="web1 was started on n1 again"):
        carrying.run()
    undone(cluster)


def test_a_file_that_somebody_else_made_meanwhile_is_not_removed(cluster):
    carrying = cluster.carrying()
    cluster.there.host.files[PATH] = b"somebody's"
    with pytest.raises(CopyError, match="exists already"):
        carrying.run()
    assert cluster.there.host.files[PATH] == b"somebody's"
    assert cluster.held() == ()


def test_what_cannot_be_removed_there_is_told(cluster):
    cluster.there.spoils = True
    carrying = cluster.carrying()
    cluster.there.trouble["remove_file"] = REFUSES
    with pytest.raises(CopyError, match=f"{PATH} is left on n2 and has to be removed there"):
        carrying.run()
    assert cluster.held() == ()


def test_ctrl_c_undoes_it(cluster, monkeypatch):
    carrying = cluster.carrying()

    def interrupted(_file, _what):
        raise KeyboardInterrupt

    monkeypatch.setattr(carrying, "_watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carrying.run()
    undone(cluster)
    assert cluster.said[-1] == "web1 was started on n1 again"


def test_a_guest_that_does_not_stop_is_not_copied(cluster):
    cluster.obeys = False
    with pytest.raises(CopyError, match="the cluster did not stop web1"):
        cluster.carrying().run()
    undone(cluster)


def test_a_guest_that_was_started_meanwhile_is_not_moved(cluster, monkeypatch):
    carrying = cluster.carrying()
    copy = carrying._copy

    def copy_and_start(file):
        copy(file)
        cluster.guest = cluster.here.run_guest("web1", UUID)

    monkeypatch.setattr(carrying, "_copy", copy_and_start)
    with pytest.raises(CopyError, match="somebody started web1 while its disks were copied"):
        carrying.run()
    undone(cluster)


def test_a_long_copy_keeps_the_guest_stopped(cluster, monkeypatch):
    carrying = cluster.carrying()
    ends = []
    monkeypatch.setattr(moves, "hold", lambda root, name, source, *, until: ends.append(until))
    carrying._hold()
    for _ in range(4):
        cluster.host.sleep(copying.HOLD_STEP_S / 2)
        carrying._keep_held()
    assert [end - ends[0] for end in ends] == [0, 60, 120]


def test_a_copy_ends_where_the_cluster_can_be_kept_from_starting_the_guest_no_longer(cluster, monkeypatch):
    carrying = cluster.carrying()
    carrying._hold()

    def fail(*_words, **_options):
        raise CommandFailed(Completed(argv=("cibadmin",), rc=1, out="", err="no"))

    monkeypatch.setattr(cib, "change", fail)
    cluster.host.sleep(copying.HOLD_S / 2)
    carrying._keep_held()
    cluster.host.sleep(copying.HOLD_S / 2 - 30.0)
    with pytest.raises(CopyError, match="cannot be kept from starting it"):
        carrying._keep_held()


def test_a_silent_path_is_given_up(cluster):
    carrying = cluster.carrying()
    carrying._hold()
    file = carrying.files[0]
    carrying._moved_at = cluster.host.now()
    cluster.host.sleep(copying.SILENCE_S - 1.0)
    carrying._watch(file, "sent")
    cluster.host.sleep(2.0)
    with pytest.raises(CopyError, match="was sent for 120 s"):
        carrying._watch(file, "sent")


def test_a_target_that_cannot_be_asked_is_an_error(cluster):
    cluster.there.trouble["room"] = UNREACHABLE
    with pytest.raises(UserError, match="the disks of web1 cannot be copied to n2"):
        local_disks.look(cluster.sight, cluster.sight.guest("web1"), "n2")


def test_what_an_image_stands_on_is_seen(cluster):
    cluster.host.commands[qemu_img.info_argv(PATH)] = json.dumps({"backing-filename": "/disks/base.img"})
    found = local_disks.look(cluster.sight, cluster.sight.guest("web1"), "n2")
    assert found.files[0].backing == "/disks/base.img"
    assert found.files[0].owner == (0o600, 64055, 108)


@pytest.mark.parametrize(
    ("kind", "found"),
    [("xfs\n", {PATH: "xfs"}), ("nfs\n", {}), ("gfs2\n", {}), ("", {}), (CommandTimeout, {})],
    ids=["local", "network", "cluster", "silent", "dead"],
)
def test_a_disk_on_a_file_system_of_one_node_is_told_from_a_shared_one(cluster, kind, found):
    cluster.host.commands[stat.file_system_argv(PATH)] = kind
    assert local_disks.on_local_file_systems(cluster.sight, XML) == found


def test_a_disk_that_is_only_read_may_be_a_copy_and_is_not_looked_at(cluster):
    xml = XML.replace("<target", "<readonly/><target")
    assert local_disks.on_local_file_systems(cluster.sight, xml) == {}
    assert local_disks.on_local_file_systems(cluster.sight, "") == {}


def dry_run(cluster, capsys, monkeypatch):
    cluster.host.commands[route.lookup_argv("n2")] = (2, "", "")
    cluster.host.commands[stat.file_system_argv(PATH)] = "xfs"
    answer = migration.Libvirt(version=9000000, free_mib=4096.0, has_copy=False)
    monkeypatch.setattr("kvmha.cli.moving.sight.Sight._libvirt", lambda *_words: answer)
    monkeypatch.setattr("kvmha.cli.moving.admission.against_move", lambda *_words, **_options: ())
    code = main(["migrate", "web1", "n2", "--copy-disks", "--dry-run", "--json"], cluster.host)
    return code, capsys.readouterr()


def test_the_plan_names_what_is_copied_and_nothing_is_touched(cluster, capsys, monkeypatch):
    code, said = dry_run(cluster, capsys, monkeypatch)
    found = json.loads(said.out)
    assert (code, found["is_cold"], [each["path"] for each in found["copies"]]) == (0, True, [PATH])
    assert cluster.guest.is_active
    assert cluster.held() == ()


def test_what_forbids_the_copy_is_one_sentence(cluster, capsys, monkeypatch):
    cluster.there.host.files[PATH] = b"somebody's"
    code, said = dry_run(cluster, capsys, monkeypatch)
    assert (code, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert f"n2 has a file {PATH} already" in said.err


# ------------------------------------------------------------------------------------------- SIGKILL


class Killed(BaseException):
    """The command is no more: nothing of it runs any longer, not even what it would do on its way out."""


def killed(cluster, monkeypatch, name):
    """Lead a move until something is called, and end there as by SIGKILL."""

    def die(*_words, **_options):
        raise Killed

    carrying = cluster.carrying()
    with monkeypatch.context() as patch:
        patch.setattr(carrying, name, die)
        patch.setattr(Carrying, "undo", lambda _carrying: "")
        with pytest.raises(Killed):
            carrying.run()
    cluster.sight.refresh()
    return carrying


def set_aside_and_killed(cluster, monkeypatch):
    """End just after the disks of the source got other names."""
    carrying = cluster.carrying()
    carrying.run()
    cluster.sight.refresh()
    return carrying


def mend(cluster, **options):
    return cut_short.mend(cluster.sight, "web1", **{"may_change": True, "say": cluster.said.append, **options})


@pytest.fixture
def idle(cluster):
    cluster.host.commands[("crm_resource", "--refresh", "--resource", "web1", "--node", "n1")] = ""
    return cluster


def test_after_a_sigkill_the_next_command_puts_the_disks_back_and_the_guest_runs(idle, monkeypatch):
    set_aside_and_killed(idle, monkeypatch)
    assert (PATH in idle.host.files, idle.guest.is_active) == (False, False)
    assert mend(idle) is True
    undone(idle)
    assert idle.host.files[PATH] == b"what is on the disk"
    assert idle.said[-1] == "web1 was started on n1 again"
    assert mend(idle) is False, "nothing is left"


@pytest.mark.parametrize("moment", ["_check_stopped", "_wait_stopped"])
def test_after_a_sigkill_while_it_copies_nothing_is_left_on_the_target(idle, monkeypatch, moment):
    killed(idle, monkeypatch, moment)
    assert idle.held() == ("web1",)
    assert mend(idle) is True
    undone(idle)


def test_what_was_cut_short_is_only_told_where_nothing_may_be_changed(idle, monkeypatch):
    set_aside_and_killed(idle, monkeypatch)
    with pytest.raises(UserError, match="was cut short; without --dry-run it is undone first"):
        mend(idle, may_change=False)
    assert PATH not in idle.host.files


def test_a_guest_that_arrived_before_the_sigkill_keeps_its_new_disks(idle, monkeypatch):
    carrying = set_aside_and_killed(idle, monkeypatch)
    cib.change(idle.host, lambda root: moves.withdraw(root, "web1"))
    idle.show("n2")
    idle.sight.refresh()
    assert mend(idle) is False
    assert idle.there.host.files[PATH] == b"what is on the disk"
    assert carrying.set_aside[PATH] in idle.host.files


def test_a_guest_that_may_have_run_on_the_target_gets_no_old_disks(idle, monkeypatch):
    """Somebody withdrew what held it: nobody knows where it ran since."""
    set_aside_and_killed(idle, monkeypatch)
    idle.obeys = False
    cib.change(idle.host, lambda root: moves.withdraw(root, "web1"))
    idle.sight.refresh()
    with pytest.raises(UserError, match="which has its disks since a move that was cut short, and runs nowhere"):
        mend(idle)
    assert PATH not in idle.host.files


def test_a_guest_that_another_node_holds_for_a_later_move_is_left_to_that_node(idle, monkeypatch):
    """The record here is of an earlier move: to undo that would end the hold, and offer the cluster old disks."""
    set_aside_and_killed(idle, monkeypatch)
    idle.obeys = False
    cib.change(idle.host, lambda root: moves.hold(root, "web1", "n2", until=2_000_000_000))
    idle.sight.refresh()
    with pytest.raises(UserError, match="kvmha migrate web1 on n2 puts right"):
        mend(idle)
    assert PATH not in idle.host.files
    assert idle.held() == ("web1",)


def test_a_move_that_is_under_way_is_left_alone(idle, monkeypatch):
    set_aside_and_killed(idle, monkeypatch)
    idle.host.processes[os.getpid()] = ("/usr/bin/python3", "/usr/bin/kvmha", "migrate", "web1")
    with pytest.raises(UserError, match=f"under way here, process {os.getpid()}"):
        mend(idle)


def test_another_node_says_where_it_can_be_put_right(idle, monkeypatch):
    set_aside_and_killed(idle, monkeypatch)
    idle.host.files.pop("/var/lib/kvmha/set-aside/web1.json")
    monkeypatch.setattr(idle.sight, "here", "n3")
    with pytest.raises(UserError, match="kvmha migrate web1 on n1 puts right what is left"):
        mend(idle)
