"""What was predicted against what happened: a node is asked about, and then really loses its power."""

from __future__ import annotations

import json
import os
import statistics

import pytest

from kvmha.lab.observation import Observation
from kvmha.tools import cluster_log

RUNS = int(os.environ.get("KVMHA_WHATIF_RUNS", "10"))
BACK_LIMIT = 180.0
WITHIN = 0.20
"""How far the median of what happened may be from the prediction."""


def predict(cluster, victim, asked):
    """Return the one phase of a what-if, asked on a node that has tried its ways to fence, as a timer has it do."""
    cluster.run(asked, "kvmha", "fence", "prove", "--here", timeout=120)
    done = cluster.run(asked, "kvmha", "whatif", "kill", victim, "--json", timeout=120, ok=(0, 1))
    return json.loads(done.out)["phases"][0]


def kill(cluster, victim, guests):
    """Cut a node's power; return what the journals say of it from then on, once its guests run again."""
    with Observation(cluster.host, cluster.lab) as seen:
        seen.read(3.0)
        cut_at = cluster.host.wall_clock()
        cluster.lab.power(victim, "off")
        until = cluster.host.now() + BACK_LIMIT
        while cluster.host.now() < until:
            seen.read(0.5)
            entries = [entry for entry in seen.entries if entry.at >= cut_at]
            started = {entry.subject for entry in entries if entry.kind == cluster_log.STARTED}
            if started >= set(guests):
                return cut_at, entries, seen.census.twice
    pytest.fail(f"not started within {BACK_LIMIT:.0f} s: {set(guests) - started}")


def first(entries, kind, subject):
    return min(entry.at for entry in entries if (entry.kind, entry.subject) == (kind, subject))


def both(phase, cut_at, entries, victim, guests):
    """Return, by the name of each thing that happens, when it was predicted and when it happened."""
    ends = {(moment["what"], moment["subject"]): moment["ends"]["usual_s"] for moment in phase["moments"]}
    found = {
        "lost": (ends["lost", victim], first(entries, cluster_log.LOST, victim) - cut_at),
        "fenced": (ends["fence", victim], first(entries, cluster_log.FENCING_CONFIRMED, victim) - cut_at),
    }
    for guest in guests:
        found["started"] = (ends["start", guest], first(entries, cluster_log.STARTED, guest) - cut_at)
    return found


def one(cluster, victim):
    """Predict, kill, compare the places, and return both times of each thing."""
    asked = next(name for name in cluster.nodes if name != victim)
    places = cluster.places(asked)
    guests = [name for name in cluster.guests if places[name] == (victim,)]
    assert guests, f"no guest runs on {victim}, and nothing would be seen"
    phase = predict(cluster, victim, asked)
    predicted = {fate["name"]: fate["after"] for fate in phase["fates"] if fate["name"] in cluster.guests}
    cut_at, entries, twice = kill(cluster, victim, guests)
    happened = {
        name: [next(e.node for e in entries if (e.kind, e.subject) == (cluster_log.STARTED, name))]
        if name in guests else list(places[name])
        for name in cluster.guests
    }  # fmt: skip
    assert predicted == happened
    assert not twice
    return both(phase, cut_at, entries, victim, guests)


def test_what_was_predicted_for_a_power_cut_is_what_happens(cluster, build):
    found = one(cluster, "n1")
    order = sorted(found, key=lambda name: found[name][1])
    assert sorted(found, key=lambda name: found[name][0]) == order == ["lost", "fenced", "started"]
    (build / "whatif.json").write_text(json.dumps({name: list(pair) for name, pair in found.items()}))


def test_an_answer_that_was_written_down_is_given_again(cluster):
    predict(cluster, "n1", "n2")
    (newest,) = json.loads(cluster.run("n2", "kvmha", "decisions", "--limit", "1", "--json").out)
    assert (newest["kind"], newest["subject"]) == ("whatif", "what if kill n1")
    again = cluster.run("n2", "kvmha", "replay", newest["id"], "--json", timeout=60)
    assert (json.loads(again.out)["is_same"], json.loads(again.out)["differences"]) == (True, [])


def test_a_fencing_that_was_seen_counts_as_proven(cluster):
    one(cluster, "n1")
    done = cluster.run("n2", "kvmha", "status", "--json", timeout=60, ok=(0, 1))
    fencing = next(point for point in json.loads(done.out)["points"] if point["name"] == "fencing")
    assert "n1" not in fencing["said"].partition("never proven on")[2].partition(";")[0]


@pytest.mark.slow
@pytest.mark.timeout(RUNS * 240 + 300)
def test_the_times_are_within_a_fifth_in_the_median(cluster, build):
    runs = []
    for _ in range(RUNS):
        runs.append(one(cluster, "n1"))
        cluster.restore()
        (build / "whatif-runs.json").write_text(json.dumps(runs))
    for name in ("lost", "fenced", "started"):
        ratios = [run[name][1] / run[name][0] for run in runs]
        assert abs(statistics.median(ratios) - 1) <= WITHIN, (name, sorted(ratios))
