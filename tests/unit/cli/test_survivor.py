"""kvmha survivor: what it says of a pair, what it writes, and when it keeps its hands off."""

from __future__ import annotations

import json

import pytest

from kvmha import journal
from kvmha.cli.main import main
from kvmha.host import Completed
from kvmha.tools import cib, crm_mon, crm_simulate
from kvmha.tools.cib import steering
from tests.fakes import FakeHost

NODE = """\
  node {
    name: n%(number)s
    nodeid: %(number)s
    ring0_addr: 192.0.2.%(number)s
  }
"""

DEVICE = """
<primitive id="fence-{name}" class="stonith" type="fence_ipmilan"><instance_attributes id="{name}-ia">
  <nvpair id="{name}-list" name="pcmk_host_list" value="{name}"/>{delay}</instance_attributes></primitive>"""
DELAY = '<nvpair id="{name}-delay" name="pcmk_delay_base" value="9s"/>'

CIB = """\
<cib epoch="5" num_updates="1" admin_epoch="0" have-quorum="1" dc-uuid="1"><configuration><crm_config/>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes><resources>{devices}
<clone id="r1-clone"><primitive id="r1" class="ocf" provider="kvmha" type="DRBD"><instance_attributes id="r1-ia">
  <nvpair id="r1-r" name="drbd_resource" value="r1"/></instance_attributes></primitive></clone>
</resources><constraints/></configuration><status>
<node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"/>
<node_state id="2" uname="n2" in_ccm="true" crmd="online" join="member" expected="member">
  <transient_attributes id="2"><instance_attributes id="s2">
    <nvpair id="s2s" name="drbd-promotion-score-r1" value="10000"/></instance_attributes></transient_attributes>
</node_state></status></cib>"""


def nodes(word: str = "online") -> str:
    online = {"n1": "true", "n2": str(word == "online").lower()}
    return "".join(
        f'<node name="{name}" online="{is_online}" unclean="false" standby="false" type="member" '
        f'is_dc="{str(name == "n1").lower()}"/>'
        for name, is_online in online.items()
    )


class Pair(FakeHost):
    """The node n1 of a pair, of which n2 alone has its disk up to date."""

    def __init__(self, delay: str = "", name: str = "n1"):
        super().__init__()
        devices = DEVICE.format(name="n1", delay=delay) + DEVICE.format(name="n2", delay="")
        self.root = cib.tree(CIB.format(devices=devices))
        self.second = "online"
        self.meanwhile = lambda: None
        self.draft = ""
        self.patches = 0
        self.files["/proc/sys/kernel/hostname"] = f"{name}\n".encode()
        self.conf("1", "2")

    def conf(self, *numbers: str):
        listed = "".join(NODE % {"number": number} for number in numbers)
        text = f"nodelist {{\n{listed}}}\nquorum {{\n  provider: corosync_votequorum\n}}\n"
        self.files["/etc/corosync/corosync.conf"] = text.encode()

    def wall_clock(self):
        return 1_800_000_000.0

    def run(self, *argv, timeout, ok=(0,), given="", env=None):
        self.ran.append(argv)
        out, rc = self._answer(argv)
        return Completed(argv=argv, rc=rc, out=out, err="")

    def _answer(self, argv):
        if argv == ("cibadmin", "--query"):
            text = cib.text_of(self.root)
            self.meanwhile()
            return text, 0
        if argv == crm_mon.ARGV:
            return f'<r><summary><current_dc with_quorum="true"/></summary><nodes>{nodes(self.second)}</nodes></r>', 0
        if argv == crm_simulate.STATE_ARGV:
            return f"<r><cluster_status><nodes>{nodes(self.second)}</nodes><resources/></cluster_status></r>", 0
        if argv[0] == "crm_diff":
            self.draft = self.read(argv[4])
            return "a patch", 1
        assert argv[:2] == ("cibadmin", "--patch"), f"nobody scripted {argv}"
        self.patches += 1
        self.root = cib.tree(self.draft)
        return "", 0

    def laid(self):
        seen = cib.read(cib.text_of(self.root))
        return {each.id: each.steering[steering.DELAY] for each in seen.primitives() if each.steering}


def survivor(host: Pair, *words: str) -> int:
    return main(["survivor", *words], host)


def test_it_says_who_is_to_survive_and_changes_nothing(capsys):
    host = Pair()
    assert survivor(host) == 1
    out = capsys.readouterr().out
    assert "n2 is to survive a split (disks that only it has up to date: 1 against 0)" in out
    assert "fence-n2 is to have pcmk_delay_base=" in out
    assert "nothing was changed; --apply does it" in out
    assert host.patches == 0


def test_what_is_written_is_written_once_and_into_the_journal(capsys):
    host = Pair(delay=DELAY.format(name="n1"))
    assert survivor(host, "--apply") == 0
    assert list(host.laid()) == ["fence-n2"]
    assert "fence-n2 was given pcmk_delay_base=" in capsys.readouterr().out
    assert (survivor(host, "--apply"), survivor(host), host.patches) == (0, 0, 1)
    (entry,) = journal.entries(host)
    assert (entry.kind, entry.subject) == ("survivor", "survivor n2")
    capsys.readouterr()
    assert main(["replay", entry.id], host) == 0
    assert "today's code gives the same answer" in capsys.readouterr().out
    # What people have configured stays as it was.
    assert cib.read(cib.text_of(host.root)).resource("fence-n1").params["pcmk_delay_base"] == "9s"


def test_a_third_node_makes_it_needless_and_what_was_written_goes():
    host = Pair()
    before = cib.text_of(host.root.find("configuration"))
    survivor(host, "--apply")
    host.conf("1", "2", "3")
    assert survivor(host, "--apply") == 0
    assert cib.text_of(host.root.find("configuration")) == before


def test_in_trouble_nothing_is_changed(capsys):
    host = Pair()
    host.second = "offline"
    assert survivor(host, "--apply") == 1
    assert "n2 is offline: trouble is here, and nothing is changed in it" in capsys.readouterr().out
    assert host.patches == 0


def fenced(host):
    host.root.find("status")[1].set("in_ccm", "false")


def changed(host):
    host.root.set("epoch", "6")


@pytest.mark.parametrize("event", [fenced, changed])
def test_what_happens_between_the_look_and_the_change_stops_it(event, capsys):
    host = Pair()
    host.meanwhile = lambda: event(host)
    assert survivor(host, "--apply") == 1
    assert "the cluster has changed meanwhile, and nothing was written" in capsys.readouterr().out
    assert (host.patches, list(journal.entries(host))) == (0, [])


def test_of_two_timers_only_that_of_the_coordinator_does_anything(capsys):
    other = Pair(name="n2")
    assert survivor(other, "--apply", "--if-coordinator") == 0
    assert (other.patches, capsys.readouterr().out) == (0, "")
    host = Pair(name="n1.example.org")
    assert survivor(host, "--apply", "--if-coordinator") == 0
    assert host.patches == 1
    capsys.readouterr()
    assert survivor(host, "--apply", "--if-coordinator") == 0
    assert capsys.readouterr().out == ""


def test_a_timer_without_a_cluster_is_silent(capsys):
    assert main(["survivor", "--apply", "--if-coordinator"], FakeHost()) == 0
    assert capsys.readouterr().out == ""


def test_as_json(capsys):
    assert survivor(Pair(), "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["act"], found["choice"]["node"], found["written"]) == ("change", "n2", False)


def test_a_saved_cluster_is_only_judged(capsys):
    assert survivor(Pair(), "--apply", "--cib", "/cib.xml") == 2
    assert "leave out --cib" in capsys.readouterr().err
    host = Pair()
    host.files["/cib.xml"] = cib.text_of(host.root).encode()
    assert survivor(host, "--cib", "/cib.xml", "--json") == 1
    assert json.loads(capsys.readouterr().out)["choice"]["node"] == "n2"


def test_the_difference_of_a_description_does_not_see_it():
    host = Pair()
    before = cib.read(cib.text_of(host.root))
    survivor(host, "--apply")
    after = cib.read(cib.text_of(host.root))
    assert [each.params for each in after.primitives()] == [each.params for each in before.primitives()]
