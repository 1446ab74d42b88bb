"""The timeline of a failover from what observers saw."""

from __future__ import annotations

from kvmha.lab import timeline
from kvmha.lab.timeline import Observed
from kvmha.lab.watcher import Answer
from kvmha.tools import cluster_log
from kvmha.tools.cluster_log import Entry


def answers(target, *pairs):
    return [Answer(at=at, target=target, boot=boot) for at, boot in pairs]


def observed(**changes):
    values = {
        "cut_at": 100.0,
        "victim": "n2",
        "entries": (
            Entry(at=99.0, kind=cluster_log.START_ASKED, subject="web1", node="n2"),
            Entry(at=103.0, kind=cluster_log.LOST, subject=""),
            Entry(at=103.2, kind=cluster_log.LOST, subject="n2"),
            Entry(at=103.5, kind=cluster_log.FENCING_ASKED, subject="n2"),
            Entry(at=104.0, kind=cluster_log.FENCING_CONFIRMED, subject="n2"),
            Entry(at=104.2, kind=cluster_log.START_ASKED, subject="web1", node="n3"),
            Entry(at=104.3, kind=cluster_log.START_ASKED, subject="vip", node="n3"),
        ),
        "executing": {("web1", "n2"): 50.0, ("web1", "n3"): 104.9},
        "answers": {
            "web1": answers("web1", (99.9, "a"), (99.95, "a"), (108.0, "b"), (108.1, "b")),
            "vip": answers("vip", (99.9, ""), (100.05, ""), (104.8, "")),
        },
    }
    return Observed(**{**values, **changes})


def rows(moments):
    return [(round(moment.at - 100, 2), moment.phase, moment.subject) for moment in moments]


def test_phases_come_in_order_with_seconds_from_the_cut():
    assert rows(timeline.moments(observed(), ("web1", "vip"))) == [
        (0.0, "power cut", "n2"),
        (3.0, "lost", "n2"),
        (3.5, "fencing asked", "n2"),
        (4.0, "fencing confirmed", "n2"),
        (4.2, "start asked", "web1"),
        (4.3, "start asked", "vip"),
        (4.8, "answers", "vip"),
        (4.9, "QEMU running", "web1"),
        (8.0, "answers", "web1"),
    ]


def test_the_recovery_of_a_guest_names_its_new_node_and_what_a_client_waited():
    seen = observed()
    back = timeline.recovery(seen, "web1", timeline.moments(seen, ("web1",)))
    assert (back.node, round(back.answers, 2), round(back.gap, 2)) == ("n3", 8.0, 8.05)


def test_an_answer_of_the_old_boot_after_the_cut_is_no_recovery():
    late = {"web1": answers("web1", (99.9, "a"), (100.1, "a"), (100.2, "a"))}
    assert "answers" not in [moment.phase for moment in timeline.moments(observed(answers=late), ("web1",))]


def test_an_address_that_answers_before_its_start_was_asked_is_the_old_one():
    late = {"vip": answers("vip", (99.9, ""), (100.1, ""), (101.0, ""))}
    assert "answers" not in [moment.phase for moment in timeline.moments(observed(answers=late), ("vip",))]


def test_the_fencing_of_another_node_is_not_taken_for_the_victims():
    other = (Entry(at=103.5, kind=cluster_log.FENCING_ASKED, subject="n1"),)
    assert "fencing asked" not in [moment.phase for moment in timeline.moments(observed(entries=other), ())]


def test_a_phase_that_was_not_seen_stays_empty():
    seen = observed(entries=(), executing={}, answers={})
    back = timeline.recovery(seen, "web1", timeline.moments(seen, ("web1",)))
    assert (back.start_asked, back.qemu_running, back.answers, back.gap) == (None, None, None, None)
