"""kvmha drbd on a machine of dicts: what is said, what is done, and what is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvmha.cli.drbd import status
from kvmha.cli.main import main
from kvmha.host import CommandTimeout
from kvmha.tools import cibadmin, crm_mon, drbd, ssh
from tests.fakes import FakeHost

COMMON, ONE, OTHER = "66389A5C7B517562", "16BD152E83A22EB8", "B09805DDEAE622E4"
CONNECT = ("drbdadm", "connect", "r1")
DISCARD = ("drbdadm", "connect", "--discard-my-data", "r1")
VERIFY = ("drbdadm", "verify", "r1")
FORCE = ("drbdsetup", "primary", "0", "--force")
ASK = ssh.argv("n2", "kvmha", "drbd", "status", "r1", "--here", "--json")
DUMP = """<config><resource name="r1">
<host name="n1"><volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/b</disk></volume></host>
<host name="n2"><volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/b</disk></volume></host>
</resource></config>"""
FENCED = """<cib><primitive id="primary-r1" type="DRBDPrimary"><instance_attributes id="a">
<nvpair id="b" name="drbd_resource" value="r1"/></instance_attributes></primitive>
<rsc_location id="drbd-fence-r1-n1-n2" rsc="primary-r1"><rule id="c" score="-INFINITY">
<expression id="d" attribute="#uname" operation="eq" value="n1"/></rule></rsc_location></cib>"""


class Node(FakeHost):
    """n1 with one replica of DRBD 8.4."""

    def __init__(self) -> None:
        super().__init__()
        self.role, self.disk, self.connection, self.peer_role = "Secondary", "UpToDate", "Connected", "Secondary"
        self.peer_disk, self.replication, self.out_of_sync = "UpToDate", "Established", 0
        self.generation = f"{COMMON}:{'0' * 16}"
        self.is_up = True
        self.files["/proc/drbd"] = b"version: 8.4.11\n"
        self.files["/proc/sys/kernel/hostname"] = b"n1\n"
        self.files["/var/lib/kvmha/drbd/r1"] = b"node x Secondary 500.0 0\npeer n2 equal Primary 500.0 0\n"
        for statistics in (True, False):
            for name in ("r1", ""):
                self.commands[drbd.events_argv(name, statistics=statistics)] = lambda: self.events
        self.commands[drbd.events_argv("r9", statistics=True)] = (10, "", "")
        self.commands[("drbdadm", "dump-xml", "r1")] = DUMP
        self.commands[("drbdadm", "get-gi", "r1")] = lambda: f"{self.generation}:{'0' * 16}:{'0' * 16}:1:1:0:0:0:0:0\n"
        self.commands[cibadmin.query_argv()] = (102, "", "not connected")

    def wall_clock(self) -> float:
        return 600.0 + self.clock - 1000.0

    @property
    def events(self):
        if not self.is_up:
            return "exists -\n"
        return (
            f"exists resource name:r1 role:{self.role} suspended:no\n"
            f"exists connection name:r1 peer-node-id:0 connection:{self.connection} role:{self.peer_role}\n"
            f"exists device name:r1 volume:0 minor:0 disk:{self.disk} size:102400\n"
            f"exists peer-device name:r1 peer-node-id:0 volume:0 replication:{self.replication} "
            f"peer-disk:{self.peer_disk} resync-suspended:no received:0 out-of-sync:{self.out_of_sync}\nexists -\n"
        )

    def parts(self) -> None:
        """Let both sides be written without each other."""
        self.connection, self.replication, self.peer_role = "StandAlone", "Off", "Unknown"
        self.generation, self.out_of_sync, self.peer_disk = f"{ONE}:{COMMON}", 7168, "Outdated"
        self.files["/var/lib/kvmha/drbd/r1"] = b"node x Secondary 540.0 0\npeer n2 parted Primary 540.0 540.0\n"
        self.commands[ASK] = lambda: (1, json.dumps({"resources": [{"side": self.other}]}), "")

    other = {  # noqa: RUF012
        "node": "n2", "resource": "r1", "role": "Primary", "disks": ["UpToDate"], "connections": ["StandAlone"],
        "current": [OTHER], "base": [COMMON], "changed_kib": 20480, "promoted_at": 480.0, "a_later_field": 1,
    }  # fmt: skip

    def meets(self) -> str:
        self.connection, self.replication, self.peer_role, self.peer_disk = (
            "Connected",
            "SyncTarget",
            "Primary",
            "UpToDate",
        )
        self.disk, self.out_of_sync = "Inconsistent", 20480
        for second in range(1, 5):
            self.after(second, lambda: setattr(self, "out_of_sync", max(self.out_of_sync - 5120, 0)))
        self.after(5.0, lambda: self.__dict__.update(disk="UpToDate", replication="Established"))
        return ""


@pytest.fixture
def host() -> Node:
    return Node()


def run(host: FakeHost, *words: str) -> int:
    return main(["drbd", *words], host)


def test_status_of_a_replica_that_is_well(host, capsys):
    assert run(host, "status") == 0
    assert capsys.readouterr().out.splitlines()[0] == "r1: well"


def test_status_of_one_that_is_not_names_the_reason(host, capsys):
    host.connection, host.peer_role, host.replication = "Connecting", "Unknown", "Off"
    assert run(host, "status", "r1") == 1
    out = capsys.readouterr().out
    assert "n2 is not connected (Connecting)" in out
    assert ASK not in host.ran


def test_status_tells_a_split_brain_and_who_is_who(host, capsys):
    host.parts()
    assert run(host, "status") == 1
    assert "split brain: n1 and n2 were both written since they parted" in capsys.readouterr().out
    assert run(host, "status", "--json") == 1
    told = json.loads(capsys.readouterr().out)["resources"][0]
    assert told["split_brain"] == ["n2"]
    assert told["side"]["current"] == [ONE]


def test_status_of_this_node_alone_asks_nobody(host):
    host.parts()
    assert run(host, "status", "--here") == 1
    assert ASK not in host.ran


def test_status_says_what_the_cluster_was_kept_from(host, capsys):
    host.commands[cibadmin.query_argv()] = FENCED
    run(host, "status")
    assert "the cluster may not promote it on n1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [("status", "r9"), ("heal", "r9"), ("promote", "r9"), ("verify", "r9"), ("verify",), ("verify", "r1", "--all")],
)
def test_a_wrong_resource_is_bad_input(host, capsys, words):
    assert run(host, *words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_heal_explains_both_sides_and_does_nothing_by_itself(host, capsys):
    host.parts()
    assert run(host, "heal", "r1") == 0
    out = capsys.readouterr().out
    for sentence in (
        "n1: Secondary, UpToDate, StandAlone", "7.0 MiB differ", "20.0 MiB differ", "promoted for 2 min",
        f"generation {OTHER}, last common one {COMMON}", "alone for 1 min",
        "n1 and n2: split brain: both were written since they parted",
    ):  # fmt: skip
        assert sentence in out
    assert CONNECT not in host.ran


def test_heal_gives_up_this_side_tells_the_other_one_and_waits(host, capsys):
    host.parts()
    host.commands[DISCARD] = host.meets
    again = "kvmha drbd heal r1 --discard n1 --here --confirm r1"
    host.commands[ssh.argv("n2", *again.split())] = "n2 keeps its data, and waits for its peer\n"
    assert run(host, "heal", "r1", "--discard", "n1", "--confirm", "r1") == 0
    out = capsys.readouterr().out
    assert host.ran.index(ssh.argv("n2", *again.split())) < host.ran.index(DISCARD)
    assert "5.0 MiB/s" in out
    assert out.splitlines()[-1] == "r1 is up to date on all sides"


def test_what_cannot_be_done_on_the_other_side_is_printed(host, capsys):
    host.parts()
    host.commands[ASK] = CommandTimeout
    host.commands[DISCARD] = ""
    assert run(host, "heal", "r1", "--discard", "n1", "--confirm", "r1") == 1
    said = capsys.readouterr()
    assert "To be run on n2 as well: kvmha drbd heal r1 --discard n1 --here --confirm r1" in said.out
    assert "n2: not seen from here" in said.out
    assert "n2 was not asked" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--discard", "n2", "--confirm", "r1"), "n2 is promoted", id="in-use"),
        pytest.param(("--discard", "n9", "--confirm", "r1"), "n9 has no replica", id="no-such-node"),
        pytest.param(("--discard", "n1", "--confirm", "r2"), '"r2" is not r1', id="another-name"),
        pytest.param(("--discard", "n1"), "say --confirm r1", id="nobody-to-ask"),
    ],
)
def test_heal_refuses(host, capsys, monkeypatch, words, said):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    host.parts()
    assert run(host, "heal", "r1", *words) == 2
    assert said in capsys.readouterr().err
    assert DISCARD not in host.ran


def test_heal_waits_until_drbd_has_given_the_connection_up_of_which_it_tells_already(host, capsys):
    # Its handler, and so whoever is alerted, runs while the kernel still calls it connected (seen with 8.4).
    host.parts()
    host.connection, host.peer_disk = "Connected", "DUnknown"
    host.after(2.0, lambda: host.__dict__.update(connection="StandAlone", peer_disk="Outdated"))
    host.commands[DISCARD] = host.meets
    again = "kvmha drbd heal r1 --discard n1 --here --confirm r1"
    host.commands[ssh.argv("n2", *again.split())] = "n2 waits\n"
    assert run(host, "heal", "r1", "--discard", "n1", "--confirm", "r1") == 0
    assert "n1: Secondary, UpToDate, StandAlone" in capsys.readouterr().out
    assert DISCARD in host.ran


def test_sides_that_are_connected_are_left_alone(host, capsys):
    host.commands[ASK] = json.dumps({"resources": [{"side": {**host.other, "connections": ["Connected"]}}]})
    assert run(host, "heal", "r1", "--discard", "n1", "--confirm", "r1") == 2
    assert "nothing has to be given up" in capsys.readouterr().err


def test_sync_tells_speed_and_time_left(host, capsys):
    host.meets()
    assert run(host, "sync", "r1") == 0
    assert "SyncTarget, 90.0 % done, 10.0 MiB to go, 5.0 MiB/s, 2 s left" in capsys.readouterr().out


def test_sync_as_json_is_a_line_for_each_look(host, capsys):
    host.meets()
    run(host, "sync", "r1", "--json")
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert looks[-1]["remaining_kib"] == 0
    assert looks[1]["speed_kib"] == 5120


def test_sync_does_not_wait_for_a_peer_for_ever(host, capsys):
    host.connection, host.replication = "Connecting", "Off"
    assert run(host, "sync", "r1") == 1
    assert "a peer has been away" in capsys.readouterr().out
    assert run(host, "sync", "r1", "--once") == 0


def test_verify_shows_its_progress_and_that_all_is_equal(host, capsys):
    def begin():
        host.replication = "VerifyS"
        host.files["/proc/drbd"] = b" 0: cs:VerifyS\n\t[=>...] verified: 50.0% (51200/102400)K\n"
        host.after(3.0, lambda: host.__dict__.update(replication="Established"))
        return ""

    host.commands[VERIFY] = begin
    assert run(host, "verify", "r1") == 0
    out = capsys.readouterr().out
    assert "comparing, 50.0 % done, 50.0 MiB to go" in out
    assert out.splitlines()[-1].split() == ["r1", "100.0", "MiB", "0", "KiB", "3", "s"]


def test_what_differs_is_told_and_how_it_is_mended(host, capsys):
    host.commands[VERIFY] = lambda: host.__dict__.update(out_of_sync=8) or ""
    assert run(host, "verify", "r1", "--json") == 1
    assert json.loads(capsys.readouterr().out)["verified"][0]["differs_kib"] == 8
    host.out_of_sync = 0
    assert run(host, "verify", "r1") == 1
    assert "drbdadm disconnect r1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"connection": "Connecting"}, "is not connected", id="alone"),
        pytest.param({"replication": "SyncSource"}, "busy (SyncSource)", id="busy"),
    ],
)
def test_what_cannot_be_compared_is_no_success(host, capsys, change, said):
    host.__dict__.update(change)
    assert run(host, "verify", "r1") == 1
    assert said in capsys.readouterr().out


def test_a_comparison_that_breaks_off_is_no_success(host, capsys):
    def begin():
        host.replication = "VerifyS"
        host.after(2.0, lambda: host.__dict__.update(replication="Off", connection="Connecting"))
        return ""

    host.commands[VERIFY] = begin
    assert run(host, "verify", "r1") == 1
    assert "went away (Connecting)" in capsys.readouterr().out


def test_all_is_what_is_promoted_here(host, capsys):
    assert run(host, "verify", "--all") == 0
    assert VERIFY not in host.ran
    host.role = "Primary"
    host.commands[VERIFY] = ""
    assert run(host, "verify", "--all") == 0
    assert VERIFY in host.ran


def alone(host: Node) -> None:
    host.connection, host.replication, host.peer_role, host.out_of_sync = "Connecting", "Off", "Unknown", 512
    host.files["/var/lib/kvmha/drbd/r1"] = b"node x Secondary 500.0 0\npeer n2 ahead Primary 540.0 530.0\n"


def test_promote_says_what_may_be_lost_and_does_nothing_by_itself(host, capsys):
    alone(host)
    assert run(host, "promote", "r1") == 1
    out = capsys.readouterr().out
    assert "n2" in out
    assert "70 s may be lost" in out
    assert "512 KiB are known to differ" in out
    assert FORCE not in host.ran


def test_accepting_the_loss_is_kept_and_without_a_cluster_it_is_promoted_by_force(host, capsys):
    alone(host)
    host.commands[FORCE] = ""
    assert run(host, "promote", "r1", "--accept-loss", "--confirm", "r1") == 0
    assert host.ran[-1] == FORCE
    assert "peer n2 behind" in host.read("/var/lib/kvmha/drbd/r1")


def test_in_a_cluster_the_constraint_goes_and_the_cluster_promotes(host, capsys):
    alone(host)
    crm = (Path(__file__).parents[2] / "contract/recorded/pacemaker-2.1.5/crm_mon.xml").read_text()
    host.commands[crm_mon.ARGV] = crm
    host.commands[cibadmin.query_argv()] = FENCED
    host.commands[cibadmin.delete_argv("drbd-fence-r1-n1-n2")] = ""
    host.after(12.0, lambda: setattr(host, "role", "Primary"))
    assert run(host, "promote", "r1", "--accept-loss", "--confirm", "r1") == 0
    assert cibadmin.delete_argv("drbd-fence-r1-n1-n2") in host.ran
    assert FORCE not in host.ran
    assert "r1 is promoted, 12 s later" in capsys.readouterr().out


def test_a_cluster_that_does_not_promote_is_not_waited_for_for_ever(host, capsys):
    alone(host)
    crm = (Path(__file__).parents[2] / "contract/recorded/pacemaker-2.1.5/crm_mon.xml").read_text()
    host.commands[crm_mon.ARGV] = crm
    assert run(host, "promote", "r1", "--accept-loss", "--confirm", "r1", "--wait", "30") == 1
    assert "not promoted after 30 s" in capsys.readouterr().out


def test_nothing_is_accepted_without_the_name(host, capsys):
    alone(host)
    before = dict(host.files)
    assert run(host, "promote", "r1", "--accept-loss", "--confirm", "yes") == 2
    assert host.files == before


def test_a_replica_that_is_promoted_is_left_as_it_is(host, capsys):
    host.role = "Primary"
    assert run(host, "promote", "r1", "--accept-loss") == 0
    assert "promoted on n1 already" in capsys.readouterr().out


class TestRedundancies:
    """What kvmha status says of a node's resources, in one sentence each."""

    def test_each_resource_has_its_sentence(self):
        node = Node()
        node.commands[drbd.events_argv()] = lambda: node.events
        (found,) = status.redundancies(node)
        assert found.sentence == "r1: 2 current copies, in step"

    def test_a_split_brain_that_drbd_has_found_is_named_with_the_peers_name(self):
        node = Node()
        node.parts()
        node.files["/var/lib/kvmha/drbd-split-brain/r1"] = b"n2\n"
        (found,) = status.redundancies(node)
        assert (found.is_split, found.level) == (True, "reduced")
        assert found.sentence == "r1: one current copy; split brain with n2, see kvmha drbd heal"

    def test_where_drbd_is_not_loaded_there_is_nothing_to_tell(self):
        node = Node()
        del node.files["/proc/drbd"]
        assert status.redundancies(node) == ()
