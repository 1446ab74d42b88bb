"""The journal: what is written down is read back, made again, bounded, and never in the way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from kvmha import journal
from kvmha.cli import main
from kvmha.errors import UserError
from kvmha.policy import decisions, failover, placement, start, timing, whatif
from kvmha.policy.placement import admission
from kvmha.policy.plan import FENCE, Action, Planned, Round
from kvmha.policy.snapshot import GUEST, Device, Node, Resource, Snapshot
from tests.fakes import FakeHost
from tests.unit.policy.placement import clusters

THERE = clusters.cluster({"n1": 8, "n2": 8}, {"a": ("n1", 4), "b": ("n2", 4)})


class JournalHost(FakeHost):
    """A machine that says what time it is, a second later each time."""

    def __init__(self):
        super().__init__()
        self.moment = 1_700_000_000.0

    def wall_clock(self):
        self.moment += 1.0
        return self.moment


def admitted(host: FakeHost, **more) -> str:
    after = admission.moved(THERE, "a", "n2")
    answer = admission.admit(THERE, after)
    return journal.record(
        host,
        "admission",
        {"before": THERE, "after": after},
        answer,
        subject="migrate a n2",
        said=answer.act,
        guests=("a",),
        alternatives=placement.choices(THERE, "a"),
        **more,
    )


def test_a_decision_is_read_back_whole_and_made_again():
    host = JournalHost()
    entry = journal.read(host, admitted(host))
    assert (entry.kind, entry.guests, entry.subject) == ("admission", ("a",), "migrate a n2")
    assert decisions.read_back(entry.inputs["before"]) == THERE
    assert [each["fields"]["host"] for each in entry.alternatives] == ["n1", "n2"]
    assert decisions.again(entry).is_same


def test_another_answer_is_shown_by_its_place(capsys):
    host = JournalHost()
    name = admitted(host)
    path = f"{journal.FOLDER}/{name}.json"
    changed = json.loads(host.read(path))
    changed["answer"]["fields"]["act"] = "refuse"
    host.write(path, json.dumps(changed))
    assert decisions.again(journal.read(host, name)).differences == ("answer.act: was 'refuse', is 'admit'",)
    assert main.main(["replay", name], host) == 1
    assert "answer.act: was 'refuse', is 'admit'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param({"kind": "weather"}, 'today\'s code has no decision "weather"', id="kind"),
        pytest.param({"inputs": {"before": 1, "behind": 2}}, "does not take these inputs", id="arguments"),
        pytest.param(
            {"inputs": {"before": {"record": "kvmha.policy.placement.records:Castle", "fields": {}}}},
            "today's code has no kvmha.policy.placement.records:Castle",
            id="record",
        ),
        pytest.param(
            {"inputs": {"before": {"record": "os:system", "fields": {}}}},
            "os:system is no value that decisions are made of",
            id="foreign",
        ),
        pytest.param(
            {"inputs": {"before": {"record": "kvmha.policy.decisions:again", "fields": {}}}},
            "is no value that decisions are made of",
            id="no-record",
        ),
        pytest.param(
            {"inputs": {"before": {"record": "kvmha.policy.placement.records:Cluster", "fields": {"hosts": []}}}},
            "Cluster lacks the field guests",
            id="field-missing",
        ),
        pytest.param(
            {"inputs": {"before": {"record": "kvmha.policy.placement.records:Cluster", "fields": []}}},
            "kvmha.policy.placement.records:Cluster has no fields",
            id="no-fields",
        ),
        pytest.param({"kind": "whatif", "inputs": {"asked": [1], "bandwidth": 0}}, "does not take", id="numbers"),
    ],
)
def test_what_cannot_be_made_again_is_said(edit, said, capsys):
    host = JournalHost()
    name = admitted(host)
    path = f"{journal.FOLDER}/{name}.json"
    host.write(path, json.dumps({**json.loads(host.read(path)), **edit}))
    assert main.main(["replay", name], host) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"id": "x"}', "\x00", "[" * 100_000])
def test_a_broken_entry_is_one_sentence_and_hides_no_other(text, capsys):
    host = JournalHost()
    good = admitted(host)
    host.write(f"{journal.FOLDER}/29990101T000000.000-aaaa.json", text)
    assert [entry.id for entry in journal.entries(host)] == [good]
    assert main.main(["replay", "2999"], host) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "edit",
    [
        {"inputs": None}, {"inputs": []}, {"kind": []}, {"at": "noon"}, {"at": 1e300}, {"at": None}, {"guests": 3},
        {"alternatives": 3},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("verb", ["decisions", "replay"])
def test_an_entry_that_somebody_changed_is_one_sentence(verb, edit, capsys):
    host = JournalHost()
    name = admitted(host)
    path = f"{journal.FOLDER}/{name}.json"
    host.write(path, json.dumps({**json.loads(host.read(path)), **edit}))
    assert main.main([verb, name], host) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_an_answer_of_another_shape_is_a_difference(capsys):
    host = JournalHost()
    name = admitted(host)
    path = f"{journal.FOLDER}/{name}.json"
    host.write(path, json.dumps({**json.loads(host.read(path)), "answer": {"record": "x", "fields": 3}}))
    assert main.main(["replay", name], host) == 1
    assert "answer.fields: was 3" in capsys.readouterr().out
    assert main.main(["decisions", name], host) == 0


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_that_shows_nothing_does_not_say_that_there_is_nothing(limit, capsys):
    host = JournalHost()
    admitted(host)
    assert main.main(["decisions", "--limit", limit], host) == 2
    assert f"--limit is {limit}; expected 1 or more" in capsys.readouterr().err


def test_the_list_is_newest_first_and_by_guest(capsys):
    host = JournalHost()
    first, second = admitted(host), admitted(host, overridden=True)
    assert main.main(["decisions", "--guest", "a"], host) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [second, first]
    assert main.main(["decisions", "--guest", "z"], host) == 0
    assert "no decision about z" in capsys.readouterr().out
    assert main.main(["decisions", "--json", "--limit", "1"], host) == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert (only["id"], only["overridden"]) == (second, True)
    assert main.main(["decisions", second[:-2]], host) == 0
    shown = capsys.readouterr().out
    assert "rules       unavailable, banned" in shown
    assert "alternative host n1" in shown


def test_part_of_an_id_must_fit_one_only():
    host = JournalHost()
    admitted(host)
    admitted(host)
    with pytest.raises(UserError, match="2 decisions begin with"):
        journal.read(host, "2023")
    with pytest.raises(UserError, match="there is no decision"):
        journal.read(host, "")


def test_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr(journal, "KEPT", 3)
    host = JournalHost()
    made = [admitted(host) for _ in range(5)]
    assert journal.names(host) == made[2:]


def test_of_large_ones_fewer_are_kept(monkeypatch):
    monkeypatch.setattr(journal, "LARGE", 100)
    monkeypatch.setattr(journal, "KEPT_LARGE", 2)
    host = JournalHost()
    made = [admitted(host) for _ in range(4)]
    assert journal.names(host) == made[2:]


def test_a_journal_that_cannot_be_written_stops_nobody(mocker):
    host = JournalHost()
    logged = mocker.patch("syslog.syslog")
    mocker.patch.object(host, "write", side_effect=OSError(28, "No space left on device"))
    assert admitted(host) == ""
    assert "No space left on device" in logged.call_args.args[1]


def test_the_rules_of_every_kind_are_those_that_exist():
    for kind in decisions.KINDS:
        assert callable(kind.decider())
        assert kind.rules


def test_a_refused_start_is_made_again():
    host = JournalHost()
    seen = {
        "guest": "web1",
        "node": "n1",
        "peers": (start.Peer(name="n2", answer=start.ACTIVE),),
        "disks": (),
        "memory": (start.Memory(need_kib=2048, free_kib=1024),),
    }
    found = start.why_not(**seen)
    assert len(found) == 2
    entry = journal.read(host, journal.record(host, "start", seen, found, subject="start web1", said=found[0]))
    assert decisions.again(entry).is_same


def what_if(**changes) -> whatif.Asked:
    """Return the question what becomes of a guest when the node n1 of three dies, and what the scheduler said."""
    fencing = (Device(name="fence", agent="fence_x", usual_s=1.0, most_s=60.0),)
    before = Snapshot(
        nodes=tuple(Node(name=f"n{at}", fencing=fencing, memory_mib=8192, attributes={"a": "b"}) for at in (1, 2, 3)),
        resources=(Resource(name="web1", agent="a", kind=GUEST, nodes=("n1",), memory_mib=1024, limit_s=30.0),),
        totem=timing.totem(3),
    )  # fmt: skip
    planned = before.replace(resources=(before.resources[0].replace(nodes=("n2",)),))
    actions = (
        Action(id=1, operation=FENCE, node="n1"),
        Action(id=2, operation="start", resource="web1", node="n2", after=(1,)),
    )
    moves = (Planned(action="move", subject="web1", source="n1", target="n2"),)
    made = {
        "events": ("kill n1",), "trouble": failover.Trouble(dead=("n1",)), "before": before, "planned": planned,
        "rounds": (Round(changes=moves, actions=actions),),
    }  # fmt: skip
    return whatif.Asked(**{**made, **changes})


def test_an_answer_to_a_what_if_is_made_again_without_the_scheduler():
    host = JournalHost()
    inputs = {"asked": (what_if(),), "bandwidth": 100.0}
    answer = whatif.judge(**inputs)
    (fate,) = answer[0].fates
    assert (fate.how, fate.after) == (whatif.STARTS, ("n2",))
    entry = journal.read(host, journal.record(host, "whatif", inputs, answer, subject="what if kill n1", said=""))
    assert decisions.again(entry).is_same
    assert decisions.read_back(entry.inputs["asked"]) == inputs["asked"]


def test_where_todays_code_answers_another_way_the_place_is_shown():
    host = JournalHost()
    inputs = {"asked": (what_if(),), "bandwidth": 100.0}
    other = whatif.judge((what_if(trouble=failover.Trouble(dead=("n1",), unfenceable=("n1",))),), bandwidth=100.0)
    entry = journal.read(host, journal.record(host, "whatif", inputs, other, subject="what if kill n1", said=""))
    found = decisions.again(entry).differences
    assert "answer[0].fates[0].how: was 'held', is 'starts'" in found


def test_the_large_ones_have_so_much_room_together(monkeypatch):
    monkeypatch.setattr(journal, "LARGE", 100)
    host = JournalHost()
    size = host.size(f"{journal.FOLDER}/{admitted(host)}.json")
    monkeypatch.setattr(journal, "ROOM", size * 5 // 2)
    made = [admitted(host) for _ in range(4)]
    assert journal.names(host) == made[2:]


def test_what_is_too_large_to_be_read_back_is_not_written(monkeypatch, mocker):
    monkeypatch.setattr(journal, "MOST", 100)
    logged = mocker.patch("syslog.syslog")
    host = JournalHost()
    assert (admitted(host), journal.names(host)) == ("", [])
    assert "decision not written, it has" in logged.call_args.args[1]


@settings(max_examples=60, deadline=None)
@given(clusters.SEEDS)
def test_whatever_is_decided_is_made_again(seed):
    there = clusters.drawn(seed)
    host = JournalHost()
    asked = (
        ("admission", {"before": there, "after": admission.moved(there, "web1", "n1")}),
        ("drain", {"cluster": there, "host": "n1"}),
    )
    for kind, inputs in asked:
        answer = decisions.kind_of(kind).decider()(**inputs)
        entry = journal.read(host, journal.record(host, kind, inputs, answer, subject=kind, said=""))
        assert decisions.again(entry) == decisions.Replay(is_same=True, answer=entry.answer)
