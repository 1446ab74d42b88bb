"""kvmha rto on a recorded cluster whose configuration changes: people are told once, and of what pushed it beyond."""

from __future__ import annotations

import json

import pytest

from kvmha.cli import rto
from kvmha.cli.main import main
from kvmha.drill import journal
from kvmha.drill.records import Order, Recovery
from kvmha.tools import cib
from tests.contract.test_recorded_status import machine
from tests.unit.drill.test_journal import outcome

LIMIT = 30
NODE = """\
  - name: n{n}
    addresses: [10.77.0.1{n}, 10.77.1.1{n}]
    fencing: {{agent: fence_ipmilan, options: {{ip: 10.77.9.1{n}, username: kvmha, password: kvmha, lanplus: 1}}}}
"""
DESCRIPTION = f"""\
cluster: test-17205
nodes:
{"".join(NODE.format(n=n) for n in (1, 2, 3))}guests:
  - {{name: web1, config: /etc/kvmha/guests/web1.xml, recovery_limit: {LIMIT}}}
"""
ASK = ("rto", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf", "--description", "/d.yaml")


@pytest.fixture
def host(monkeypatch):
    host = machine("well")
    host.files["/d.yaml"] = DESCRIPTION.encode()
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    host.told = []
    monkeypatch.setattr(rto.alert, "send", lambda _host, made, seconds: host.told.append(made))
    written = '<cib update-user="root" update-client="cibadmin" update-origin="n2" epoch="9"><configuration/></cib>'
    host.commands[cib.query_argv()] = written
    return host


def entry(host, capsys, *more):
    code = main([*ASK, "--json", *more], host)
    (web1,) = [each for each in json.loads(capsys.readouterr().out) if each["guest"] == "web1"]
    return code, web1


def slower(host):
    """corosync takes a minute longer to notice that a node is dead."""
    conf = host.files["/corosync.conf"].decode()
    host.files["/corosync.conf"] = conf.replace("token: 1300", "token: 60000").encode()


def test_a_change_that_pushes_a_prediction_beyond_its_limit_is_told_once(host, capsys):
    code, web1 = entry(host, capsys, "--alert")
    assert (web1["verdict"], web1["limit_s"], host.told) == ("keeps", LIMIT, [])
    slower(host)
    code, web1 = entry(host, capsys, "--alert")
    assert (code, web1["verdict"]) == (1, "breaks")
    (told,) = host.told
    assert (told.kind, told.subject) == ("recovery-limit", "web1")
    assert f"longer than the {LIMIT} s that were promised" in told.sentence
    assert "it was " in told.sentence
    assert "last written by root with cibadmin on n2" in told.sentence
    entry(host, capsys, "--alert")
    assert len(host.told) == 1, "it stays as it is"


def test_a_measurement_stands_beside_the_prediction_with_its_age(host, capsys):
    away = Recovery(name="web1", node="n1", started=8.0, answers=14.0, gap_s=14.1)
    made = outcome("1", order=Order(drill="power-cut", node="n2"), recoveries=(away,), breaches=())
    journal.finish(host, made.replace(struck_at=host.wall_clock() - 7200))
    _, web1 = entry(host, capsys)
    assert (web1["last_s"], web1["median_s"], web1["count"]) == (14.1, 14.1, 1)
    assert web1["age_s"] == pytest.approx(7200, abs=5)
    assert web1["foretold_s"] is not None
    main(list(ASK), host)
    shown = capsys.readouterr().out
    assert "2 hours ago" in shown
    assert "web1" in shown
