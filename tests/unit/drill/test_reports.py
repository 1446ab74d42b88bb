"""What was seen becomes a timeline, figures, and pages that a browser and a CI system read."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from kvmha.cli.drill import telling
from kvmha.drill import clients, comparing, drawing, page, timeline
from kvmha.drill.records import ABORTED, BROKEN, LATE, PASSED, Expected, Moment, Recovery
from kvmha.drill.timeline import Seen
from kvmha.errors import UserError
from kvmha.tools import cluster_log
from kvmha.tools.cluster_log import Entry
from tests.unit.drill.test_journal import outcome

T = 1_000_000.0


def entry(at, kind, subject="", node=""):
    return Entry(at=T + at, kind=kind, subject=subject, node=node)


ENTRIES = (
    entry(-5.0, cluster_log.STARTED, "web1", "n2"),
    entry(2.8, cluster_log.LOST),
    entry(2.9, cluster_log.LOST, "n2"),
    entry(3.0, cluster_log.FENCING_ASKED, "n2"),
    entry(3.9, cluster_log.FENCING_CONFIRMED, "n2"),
    entry(4.0, cluster_log.START_ASKED, "web1", "n1"),
    entry(4.1, cluster_log.START_ASKED, "web9", "n1"),
    entry(5.5, cluster_log.STARTED, "web1", "n1"),
)
ANSWERED = [T + tenth / 10 for tenth in (*range(-30, 1), *range(120, 200))]
SEEN = Seen(
    struck_at=T, until=T + 20, node="n2", entries=ENTRIES, processes={("web1", "n1"): T + 4.4, ("web1", "n2"): T - 9},
    answers={"web1": ANSWERED, "web2": [T + tenth / 10 for tenth in range(-30, 200)]}, back_at=T + 15,
)  # fmt: skip


def test_phases_come_in_their_order_once_each_and_only_of_what_matters():
    found = timeline.moments(SEEN, ("web1", "web2"))
    assert [(round(m.at, 2), m.phase, m.subject, m.node) for m in found] == [
        (0.0, "fault", "n2", ""), (2.8, "lost", "n2", ""), (3.0, "fencing asked", "n2", ""), (3.9, "fenced", "n2", ""),
        (4.0, "start asked", "web1", "n1"), (4.4, "process up", "web1", "n1"), (5.5, "started", "web1", "n1"),
        (12.0, "answers", "web1", ""), (15.0, "node back", "n2", ""),
    ]  # fmt: skip


def test_a_recovery_is_until_its_clients_are_answered():
    found = timeline.moments(SEEN, ("web1", "web2"))
    (web1,) = timeline.recoveries(SEEN, found, ["web1"], {"web1": "n1"}, Expected())
    assert (web1.node, round(web1.took, 2), web1.gap_s) == ("n1", 12.0, 12.0)


def test_entries_of_a_clock_that_is_ahead_come_earlier():
    (moved,) = timeline.shifted([entry(5.0, cluster_log.LOST)], 2.0)
    assert moved.at == T + 3


@pytest.mark.parametrize(
    ("answers", "gap", "back"),
    [
        pytest.param([], None, None, id="nobody-was-asked"),
        pytest.param([T - 1], 11.0, None, id="never-again"),
        pytest.param([T - 1, T + 4, T + 5], 5.0, T + 4, id="back"),
        pytest.param([T - 0.1, T + 0.1, T + 3, T + 3.1, T + 9.9], 6.8, T + 9.9, id="twice-away"),
        pytest.param([T + 4], None, T + 4, id="never-heard-before"),
    ],
)
def test_the_longest_silence_counts(answers, gap, back):
    found = clients.longest_gap(answers, T, T + 10)
    assert found == (None if gap is None else pytest.approx(gap, abs=1e-6))
    assert clients.back_at(answers, T) == back


@pytest.mark.parametrize("text", ["", "web1", "web1=", "web1=host", "web1=tcp://h", "=h:1", "web1=h:0", "web1=h:99999"])
def test_a_client_that_is_not_understood_is_refused(text):
    with pytest.raises(UserError, match="--watch"):
        clients.parse(text)
    assert clients.parse("web1=tcp://[fd00::7]:80").address == "fd00::7"


def test_a_real_service_is_heard_until_it_ends():
    """A listener on this machine, asked by the thread that asks guests."""
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        service = clients.Target(name="web1", kind=clients.SERVICE, address="127.0.0.1", port=port)
        address = service.replace(name="vip", kind=clients.ADDRESS, port=clients.CLOSED_PORT)
        targets = (service, address)
        with clients.Clients(targets) as asked:
            until = time.monotonic() + 20
            while time.monotonic() < until and not (len(asked.answers["web1"]) > 2 and len(asked.answers["vip"]) > 2):
                time.sleep(0.05)
            assert asked.answers_now("web1", now=time.time(), within=5.0)
            server.close()
            time.sleep(0.5)
            heard = len(asked.answers["web1"])
            addressed = len(asked.answers["vip"])
            while time.monotonic() < until and len(asked.answers["vip"]) < addressed + 3:
                time.sleep(0.05)
    assert len(asked.answers["web1"]) <= heard + 1, "a refusal is no answer of a service"
    assert len(asked.answers["vip"]) >= addressed + 3, "a refusal shows that an address is there"


# ------------------------------------------------------------------- comparing


def run(number, *, fencing=3.0, took=10.0, result=PASSED, drill="power-cut"):
    made = outcome(f"2026112{number}T000000-{drill}")
    moments = [("fault", 0.0, "n2"), ("lost", 2.0, "n2"), ("fencing asked", 2.5, "n2"), ("fenced", 2.5 + fencing, "n2"),
               ("started", took, "web1")]  # fmt: skip
    return made.replace(
        order=made.order.replace(drill=drill), result=result,
        moments=tuple(Moment(at=at, phase=phase, subject=subject) for phase, at, subject in moments),
        recoveries=(Recovery(name="web1", node="n1", started=took, gap_s=took),),
    )  # fmt: skip


def test_a_slower_one_names_the_phase_that_made_it_slower():
    before = [run(number) for number in range(1, 5)]
    said = comparing.compared(run(9, fencing=13.0, took=21.0), before)
    assert said == "2.1 times slower than the median of the last 4: fencing took 13.0 s instead of 3.0"
    assert "about as fast" in comparing.compared(run(9, took=11.0), before)
    assert "2.0 times faster" in comparing.compared(run(9, fencing=1.0, took=5.0), before)


def test_only_drills_alike_that_passed_before_it_count():
    others = [run(1, took=99.0, result=LATE), run(2, took=99.0, drill="hang"), run(9, took=99.0)]
    assert comparing.compared(run(5), others) == ""
    assert "the one before" in comparing.compared(run(5), [*others, run(3)])


def test_what_clients_waited_for_is_not_compared_with_what_the_cluster_knew():
    heard = (Recovery(name="web1", node="n1", started=5.0, answers=15.0, gap_s=15.0),)
    watched = [run(number).replace(recoveries=heard) for number in (1, 2)]
    assert comparing.compared(run(5, took=5.0), watched) == ""
    assert "the one before" in comparing.compared(run(5, took=5.0), [*watched, run(3, took=5.0)])
    assert "the last 2" in comparing.compared(run(5).replace(recoveries=heard), [*watched, run(3, took=5.0)])


def test_the_figures_are_of_all_drills_and_their_trend():
    found = comparing.figures([run(1, took=5.0), run(2, took=5.0), run(3, took=10.0), run(4, took=10.0, result=BROKEN)])
    assert (found.runs, found.passed, found.broken) == (4, 3, 1)
    assert (found.mean_recovery_s, found.trend, found.failures_per_minute) == (7.5, 2.0, 1.0)
    assert comparing.figures([]).mean_recovery_s is None


def test_both_figures_have_a_trend():
    """In the later half somebody was away twice as often, and half as long."""
    calm, busy = run(1, took=10.0), run(2, took=5.0)
    busy = busy.replace(recoveries=(*busy.recoveries, *busy.recoveries))
    found = comparing.figures([calm, calm, busy, busy])
    assert (found.trend, found.failures_trend, found.failures_per_minute) == (0.5, 2.0, 1.5)
    said = telling._sum(found)
    assert "mean time to recovery 6.7 s (the later half 0.5 times the earlier one)" in said
    assert "1.50 failures per minute (the later half 2 times the earlier one)" in said


def test_a_difference_that_explains_nothing_is_not_given_as_the_reason():
    said = comparing.compared(run(9, took=21.0).replace(moments=()), [run(1), run(2)])
    assert said == "2.1 times slower than the median of the last 2"


# ----------------------------------------------------------------------- pages


class Page(HTMLParser):
    """Holds the nesting of tags, and what a page would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "rect", "circle", "line"):
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("result", [PASSED, BROKEN, LATE, ABORTED])
def test_the_page_is_whole_fetches_nothing_and_shows_what_was_seen(result):
    read = Page()
    text = page.html(run(5, took=21.0).replace(result=result, said="a <b> & c"), [run(1), run(2)])
    read.feed(text)
    assert read.open == []
    assert read.fetched == []
    shown = " ".join(read.text)
    assert result in shown
    assert "a <b> & c" in shown
    assert "2.1 times slower" in shown
    assert "n2 fencing asked" in " ".join(shown.split())
    assert 'name="viewport"' in text


def test_the_journals_of_the_nodes_are_folded_into_the_page():
    text = page.html(run(5), [], "    1.50 s  n1 corosync: <lost>\n")
    assert "<summary>Journals of the nodes</summary><pre>    1.50 s  n1 corosync: &lt;lost&gt;" in text
    assert "Journals of the nodes" not in page.html(run(5), [])


def test_the_picture_is_xml_in_which_time_goes_to_the_right():
    root = ElementTree.fromstring(drawing.of_timeline(run(5).moments))
    marks = [float(each.get("cx").rstrip("%")) for each in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert marks == sorted(marks)
    assert len(marks) == 5
    assert marks[-1] <= 100


def test_a_bar_begins_where_what_led_to_it_was():
    """A guest waits for the fencing of its node; every other step follows the one before it of the same subject."""
    made = run(5).moments
    assert [(m.phase, since) for m, since in zip(made, drawing.begins(made))] == [
        ("fault", 0.0), ("lost", 0.0), ("fencing asked", 2.0), ("fenced", 2.5), ("started", 5.5),
    ]  # fmt: skip


@pytest.mark.parametrize("times", [{"detection": 2.0}, {"detection": 0.0}, {"detection": 1.0, "boot": 99.0}])
def test_the_bar_of_phases_is_as_wide_as_the_page(times):
    drawn = drawing.of_phases(times).partition("<p")[0]
    widths = [float(each.get("width").rstrip("%")) for each in
              ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}rect")]  # fmt: skip
    assert sum(widths) <= 101


def test_of_clients_that_stood_still_themselves_nothing_is_said():
    """Nobody was asked from 2 to 9: that this machine stood still is not the guest's absence."""
    answers = [T + tenth / 10 for tenth in (*range(-10, 20), *range(90, 120))]
    assert clients.longest_gap(answers, T, T + 12) == pytest.approx(7.1)
    stalls = ((T + 2.0, T + 8.9),)
    assert clients.longest_gap(answers, T, T + 12, stalls) == pytest.approx(0.2)
    seen = SEEN.replace(answers={"web1": answers}, stalls=stalls, until=T + 12)
    assert [m.phase for m in timeline.moments(seen, ("web1",)) if m.phase == "answers"] == []
    # A guest that is away for longer than that is still seen to be.
    gone = [at for at in answers if at < T + 2 or at > T + 11.5]
    assert clients.longest_gap(gone, T, T + 12, stalls) == pytest.approx(9.7 - 6.9, abs=0.2)


def test_a_client_that_stands_still_notes_it(monkeypatch):
    """The thread that asks is held up for longer than it takes for a stall, by its own selector."""
    import selectors
    import time

    held = []

    class Slow(selectors.DefaultSelector):
        def select(self, timeout=None):
            if not held:
                held.append(time.sleep(clients.STALL_S * 2))
            return super().select(timeout)

    monkeypatch.setattr(clients.selectors, "DefaultSelector", Slow)
    target = clients.Target(name="vip", kind=clients.ADDRESS, address="127.0.0.1", port=clients.CLOSED_PORT)
    with clients.Clients((target,)) as asked:
        until = time.monotonic() + 20
        while time.monotonic() < until and not asked.stalls:
            time.sleep(0.05)
    assert asked.stalls
    assert asked.stalls[0][1] - asked.stalls[0][0] > clients.STALL_S


def test_every_phase_has_its_place_its_colour_and_its_witness():
    assert set(timeline.ORDER) == set(timeline.SAID_BY) == set(drawing.COLOURS)
    assert set(timeline.PHASES.values()) < set(timeline.ORDER)


DETAILED = Seen(
    struck_at=T, until=T + 20, node="n2",
    entries=(
        entry(2.8, cluster_log.LOST, "n2"), entry(2.9, cluster_log.DECIDED, "n2"),
        entry(4.0, cluster_log.START_ASKED, "web1", "n1"), entry(5.0, cluster_log.AGENT_STARTED, "web1"),
        entry(5.1, cluster_log.STARTED, "web1", "n1"), entry(5.0, cluster_log.AGENT_STARTED, "web9"),
    ),
    processes={("web1", "n1"): T + 4.4}, running={("web1", "n1"): T + 4.6, ("web1", "n2"): T - 50},
    agents={("web1", "n1"): T + 9.0}, promoted={("data-web1", "n1"): T + 3.95, ("data-web1", "n2"): T - 50},
    disks={"data-web1": "web1"}, fenced_at=T + 3.9, back_at=T + 15,
)  # fmt: skip


def test_drbd_libvirt_the_agent_and_the_guest_agent_have_their_phases():
    found = timeline.moments(DETAILED, ("web1",))
    assert [(round(m.at, 2), m.phase, m.subject) for m in found] == [
        (0.0, "fault", "n2"), (2.8, "lost", "n2"), (2.9, "decided", "n2"), (3.9, "fenced", "n2"),
        (3.95, "storage ready", "web1"), (4.0, "start asked", "web1"), (4.4, "process up", "web1"),
        (4.6, "domain runs", "web1"), (5.0, "agent done", "web1"), (5.1, "started", "web1"),
        (9.0, "guest agent", "web1"), (15.0, "node back", "n2"),
    ]  # fmt: skip
    (web1,) = timeline.recoveries(DETAILED, found, ["web1"], {"web1": "n1"}, Expected())
    assert (round(web1.storage_ready, 2), round(web1.guest_agent, 2)) == (3.95, 9.0)


def test_what_a_journal_tells_comes_before_the_history_of_fencing():
    told = DETAILED.replace(entries=(*DETAILED.entries, entry(3.5, cluster_log.FENCING_CONFIRMED, "n2")))
    assert [round(m.at, 2) for m in timeline.moments(told, ()) if m.phase == "fenced"] == [3.5]


@pytest.mark.parametrize(
    ("changes", "failures", "errors"),
    [
        pytest.param({"breaches": ()}, 0, 0, id="passed"),
        pytest.param({}, 1, 0, id="an-invariant-did-not-hold"),
        pytest.param({"breaches": (), "result": LATE, "said": "too late"}, 1, 0, id="late"),
        pytest.param({"breaches": (), "result": ABORTED, "said": "ended"}, 0, 1, id="aborted"),
        pytest.param(
            {"breaches": (), "recoveries": (Recovery(name="web1", answers=40.0, limit_s=30.0),)}, 1, 0,
            id="later-than-promised",
        ),
    ],
)  # fmt: skip
def test_a_ci_system_counts_what_went_wrong(changes, failures, errors):
    root = ElementTree.fromstring(page.junit(outcome(**changes)).encode())
    assert (root.get("failures"), root.get("errors")) == (str(failures), str(errors))
    assert len(root.findall("testcase/failure")) == failures
    assert len(root.findall("testcase/error")) == errors
    assert root.get("tests") == str(len(root.findall("testcase")))


def test_a_guest_that_moved_was_never_away():
    moved = outcome(recoveries=(Recovery(name="web1", node="n2", process_up=4.0, gap_s=0.35),))
    said = "\n".join(telling.lines(moved, []))
    assert "web1 on n2: never away, a client waited 0.35 s" in said
    gone = outcome(recoveries=(Recovery(name="web1", process_up=4.0, gap_s=35.0),))
    assert "web1 on nowhere: not seen to come back" in "\n".join(telling.lines(gone, []))


def test_people_are_told_the_same():
    said = "\n".join(telling.lines(outcome(), []))
    assert "web1 on n1: answers after 14.0 s, a client waited 14.10 s, promised 30 s" in said
    assert "!! failed: a <b> & c" in said
