"""What the bench of replicas does before it measures: the player's answers, and the parts of a configuration."""

from __future__ import annotations

import subprocess
from xml.etree import ElementTree

import pytest

from kvmha.lab.plan import LabError
from tests.bench import replica_cases, replica_promotion
from tests.bench.replica_promotion import OURS, SHELL, Cut, Promotion

RESOURCES = ElementTree.fromstring("""<resources>
<primitive id="fence-n1" class="stonith" type="fence_ipmilan"/>
<clone id="drbd-web1-clone"><primitive id="drbd-web1" class="ocf" provider="kvmha" type="DRBD"/></clone>
<primitive id="primary-web1" class="ocf" provider="kvmha" type="DRBDPrimary"/>
<primitive id="web1" class="ocf" provider="kvmha" type="VirtualDomain"/>
</resources>""")
CONSTRAINTS = ElementTree.fromstring("""<constraints>
<rsc_location id="a" rsc="fence-n1" node="n1"/>
<rsc_colocation id="b" rsc="primary-web1" with-rsc="drbd-web1-clone"/>
<rsc_order id="c" first="primary-web1" then="web1"/>
<rsc_order id="d"><resource_set id="e"><resource_ref id="web1"/></resource_set></rsc_order>
</constraints>""")


def ids(section):
    return [element.get("id") for element in section]


def test_the_guest_goes_and_with_it_the_constraints_that_name_it():
    kept = replica_promotion.without_guest(RESOURCES)
    assert ids(kept) == ["fence-n1", "drbd-web1-clone", "primary-web1"]
    assert ids(replica_promotion.constraints_of(CONSTRAINTS, kept)) == ["a", "b"]
    assert ids(replica_promotion.constraints_of(CONSTRAINTS, replica_promotion.only_fencing(RESOURCES))) == ["a"]


def test_before_another_setup_all_but_the_fence_devices_is_stopped_by_the_cluster_itself():
    found = replica_promotion.stopped(RESOURCES)
    roles = {
        element.get("id"): [pair.get("value") for pair in element.findall("meta_attributes/nvpair")]
        for element in found
    }
    assert roles == {"fence-n1": [], "drbd-web1-clone": ["Stopped"], "primary-web1": ["Stopped"], "web1": ["Stopped"]}
    assert RESOURCES.find("clone/meta_attributes") is None, "the lab's own resources are left as they were"
    again = replica_promotion.stopped(found)
    assert len(again.findall("clone/meta_attributes/nvpair")) == 1


def test_a_cut_after_which_nothing_was_seen_does_not_count():
    cuts = (Cut(way="ours", from_fenced=2.0, from_cut=9.0), Cut(way="ours", from_fenced=None, from_cut=None))
    assert Promotion(way=OURS, cuts=cuts).median("from_fenced") == 2.0
    assert Promotion(way=OURS, cuts=cuts[1:]).median("from_cut") is None


class Stage:
    """A cluster that does not take up the second setup, in the place of the theatre and of its lab."""

    def __init__(self, *_given, well=(SHELL,)):
        self.well = well
        self.is_put_back = False

    def put_on(self, way):
        if way not in self.well:
            raise LabError(f"{way.key}: the pair is well: not within 300 s")

    def cut(self, way):
        return Cut(way=way.key, from_fenced=2.0, from_cut=9.0)

    def put_back(self):
        self.is_put_back = True

    def collect_logs(self, _folder):
        pass


def test_a_setup_that_cannot_be_measured_keeps_nothing_from_those_before_it(monkeypatch):
    stage, said = Stage(), []
    monkeypatch.setattr(replica_promotion, "Theatre", lambda *_given: stage)
    (only,) = replica_promotion.measure(None, stage, 2, said.append, put_back=True)
    assert (only.way, len(only.cuts), stage.is_put_back) == (SHELL, 2, True)
    assert said[-1] == "promotion: broken off: ours: the pair is well: not within 300 s"


def test_where_nothing_could_be_measured_the_reason_is_told(monkeypatch):
    stage = Stage(well=())
    monkeypatch.setattr(replica_promotion, "Theatre", lambda *_given: stage)
    with pytest.raises(LabError, match="not within 300 s"):
        replica_promotion.measure(None, stage, 2, print)


@pytest.fixture
def player(tmp_path):
    """Return how to call the player by the name of a program, in a folder of its own."""
    (tmp_path / "events").write_text("exists -\n")
    (tmp_path / "score").write_text("1000\n")

    def call(program, *words):
        path = tmp_path / program
        path.write_text(replica_cases.PLAYER.replace(replica_cases.FOLDER, str(tmp_path)))
        path.chmod(0o755)
        return subprocess.run([path, *words], capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    return call


@pytest.mark.parametrize(
    ("words", "score"),
    [
        (("crm_master", "-Q", "-l", "reboot", "-v", "999"), "999"),
        (("crm_master", "-l", "reboot", "-D"), ""),
        (("crm_attribute", "--promotion=drbd-bench", "--update", "10000"), "10000"),
        (("crm_attribute", "--promotion=drbd-bench", "--delete"), ""),
        (("crm_attribute", "--promotion=drbd-bench", "--query", "--quiet"), "1000"),
    ],
)
def test_the_player_keeps_the_score_that_either_agent_gives(player, words, score):
    player(*words)
    assert player("crm_master", "-q", "-l", "reboot", "-G") == score


def test_the_player_says_what_drbd_was_recorded_to_say(player):
    assert player("drbdsetup", "events2", "--now", "bench") == "exists -"
    assert player("drbdadm", "-c", "/etc/drbd.conf", "sh-dev", "bench") == "/dev/drbd0"
