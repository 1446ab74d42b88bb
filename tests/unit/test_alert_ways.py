"""Mail and webhooks: who is told, how often, and what they get; tried with a real program and a real server."""

from __future__ import annotations

import http.server
import json
import threading
from email import message_from_string

import pytest

from kvmha import alert
from kvmha.alert import Alert, ways
from kvmha.alert.ways import Ways
from kvmha.host import CommandMissing, Host
from kvmha.observe import pacemaker_alert
from tests.unit.test_alert import Listener

FENCED = Alert(kind="fenced", subject="n2", sentence="fencing of n2: größer", facts={"rc": "0"})
SENDMAIL = ("sendmail", "-i", "-t")


class Machine(Listener):
    def wall_clock(self):
        return self.clock


@pytest.fixture
def host():
    host = Machine()
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    host.commands[SENDMAIL] = ""
    return host


@pytest.fixture(autouse=True)
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(alert, "_syslog", lambda text, is_alert: lines.append(text))
    return lines


def configured(host, *lines):
    host.files[ways.CONF] = "\n".join(lines).encode()


def test_the_file_is_read_and_what_is_not_understood_is_named():
    found = ways.parse(
        "# who\nmail ops@example.org  # us\nmail -oQ/tmp\nwebhook ftp://x\nwebhook https://x/y\nrepeat 60\nmost 0"
    )
    assert (found.mail, found.webhooks, found.repeat_s, found.most) == (
        ("ops@example.org",),
        ("https://x/y",),
        60.0,
        20,
    )
    assert [line.split(":")[1] for line in found.mistakes] == ["3", "4", "7"]


@pytest.mark.parametrize("text", ["", "-t", "a b", "a@b@c", "a\nBcc: x", "@x", "a,b", "a;b", "|cat"])
def test_what_sendmail_would_take_for_more_is_no_address(text):
    assert not ways.is_address(text)


def test_a_mail_says_it_all_and_asks_for_no_answer(host):
    configured(host, "mail ops@example.org")
    assert alert.send(host, FENCED, seconds=30) == ("mail ops@example.org",)
    mail = message_from_string(host.given[-1])
    assert (mail["To"], mail["Subject"]) == ("ops@example.org", "[kvmha] n1: fenced n2")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "größer" in mail.get_payload(decode=True).decode()


def test_the_same_is_told_once_and_later_with_how_often_it_was(host):
    configured(host, "mail root", "repeat 600")
    told = []
    for _ in range(5):
        told.append(alert.send(host, FENCED, seconds=30))
        host.clock += 100
    assert told == [("mail root",), (), (), (), ()]
    assert alert.send(host, FENCED.replace(subject="n3"), seconds=30) == ("mail root",), "another one is another one"
    host.clock += 101
    assert alert.send(host, FENCED, seconds=30) == ("mail root",)
    text = message_from_string(host.given[-1]).get_payload(decode=True).decode()
    assert "held back since the last one: 4" in text


def test_a_flood_ends_at_the_most_of_an_hour_and_the_journal_has_all(host):
    configured(host, "mail root", "most 3")
    told = [alert.send(host, FENCED.replace(subject=f"n{n}"), seconds=30) for n in range(10)]
    assert sum(map(len, told)) == 3
    assert sum(text.startswith("MESSAGE=") for text in host.given) == 10
    host.clock += 3700
    assert alert.send(host, FENCED.replace(subject="n8"), seconds=30)


@pytest.mark.parametrize("state", [b"{", b"[]", b'{"last": 5}', b'{"last": {"fenced n2": 1}}', OSError(13, "no")])
def test_what_was_remembered_may_be_broken_and_it_is_told(host, state):
    configured(host, "mail root")
    for path in ways.STATES:
        host.files[path] = state
    assert alert.send(host, FENCED, seconds=30) == ("mail root",)


def test_a_way_that_fails_is_complained_of_and_the_others_are_gone(host, logged):
    configured(host, "mail root", "nonsense")
    host.commands[SENDMAIL] = CommandMissing
    assert alert.send(host, FENCED, seconds=30) == ()
    assert any("sendmail is not installed" in line for line in logged)
    assert any("alert.conf:2" in line for line in logged)


# -------------------------------------------------------------- real sinks


class Sink(http.server.BaseHTTPRequestHandler):
    heard: list[dict[str, object]] = []  # noqa: RUF012 (one server, one list)
    code = 200

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append({"type": self.headers["Content-Type"], **json.loads(text)})
        self.send_response(self.code)
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def server():
    Sink.heard, Sink.code = [], 200
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}/hook"
        served.shutdown()


def test_a_webhook_gets_json_and_a_refusal_is_noticed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(ways, "STATES", (str(tmp_path / "state.json"),))
    assert ways.send(Host(), FENCED, Ways(webhooks=(server,)), seconds=20) == (("webhook",), ())
    (told,) = Sink.heard
    assert (told["type"], told["kind"], told["subject"]) == ("application/json", "fenced", "n2")
    assert (told["text"], told["facts"]) == (FENCED.sentence, {"rc": "0"})
    Sink.code = 500
    heard, failed = ways.send(Host(), FENCED.replace(subject="n3"), Ways(webhooks=(server,)), seconds=20)
    assert heard == ()
    assert "500" in failed[0]


def test_nobody_at_the_other_end_costs_no_more_than_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(ways, "STATES", (str(tmp_path / "state.json"),))
    heard, failed = ways.send(Host(), FENCED, Ways(webhooks=("http://127.0.0.1:9/x",)), seconds=5)
    assert heard == ()
    assert "webhook" in failed[0]


def test_a_real_program_gets_the_mail_through_its_standard_input(tmp_path, monkeypatch):
    """A program in sendmail's place, started by the real Host, which keeps the message as a mailbox would."""
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/words\ncat >{tmp_path}/mail\n')
    program.chmod(0o755)
    monkeypatch.setattr(ways, "STATES", (str(tmp_path / "state.json"),))
    monkeypatch.setattr("kvmha.host.PATH", (str(tmp_path), "/usr/bin", "/bin"))
    found = ways.send(Host(), FENCED.replace(sentence="one\n.\ntwo"), Ways(mail=("root",)), seconds=20)
    assert found == (("mail root",), ())
    assert (tmp_path / "words").read_text() == "-i -t\n"
    mail = message_from_string((tmp_path / "mail").read_text())
    assert mail.get_payload(decode=True).decode().startswith("one\n.\ntwo\n")


# --------------------------------------------------------------- Pacemaker's


@pytest.mark.parametrize(
    ("values", "kind", "sentence"),
    [
        pytest.param({"kind": "node", "node": "n2", "desc": "lost"}, "node-lost", "node n2 is lost", id="lost"),
        pytest.param({"kind": "node", "node": "n2", "desc": "member"}, "node-back", "again", id="back"),
        pytest.param(
            {"kind": "fencing", "node": "n2", "rc": "0", "desc": "Operation reboot of n2: OK"},
            "fenced", "fencing of n2: Operation reboot of n2: OK", id="fenced",
        ),
        pytest.param(
            {"kind": "fencing", "node": "n2", "rc": "-110", "desc": "timed out"}, "fencing-failed",
            "fencing of n2: failed: timed out", id="not-fenced",
        ),
        pytest.param(
            {"kind": "resource", "rsc": "web1", "node": "n1", "task": "start", "rc": "1", "target_rc": "0",
             "desc": "no memory"}, "operation-failed", "start of web1 failed on n1 with 1: no memory", id="failed",
        ),
        pytest.param({"kind": "resource", "rsc": "web1", "rc": "0", "target_rc": "0"}, None, "", id="success"),
        pytest.param({"kind": "resource", "rsc": "web1", "rc": "7", "target_rc": "7"}, None, "", id="probe"),
        pytest.param({"kind": "resource", "rsc": "web1", "rc": "193", "target_rc": "0"}, None, "", id="under-way"),
        pytest.param({"kind": "attribute", "node": "n1"}, None, "", id="attribute"),
        pytest.param({}, None, "", id="nothing"),
    ],
)  # fmt: skip
def test_what_pacemaker_tells_becomes_what_people_are_told(host, values, kind, sentence):
    environ = {f"CRM_alert_{name}": value for name, value in values.items()}
    environ["CRM_alert_recipient"] = "ops@example.org"
    assert pacemaker_alert.run(environ, host) == 0
    mails = [message_from_string(text) for text in host.given if text.startswith("To:")]
    assert len(mails) == (1 if kind else 0)
    for mail in mails:
        assert mail["To"] == "ops@example.org"
        assert f"{kind} " in mail["Subject"]
        assert sentence in mail.get_payload()


def decided(*steps, **settings):
    """Return what is told at each time, by the key and the time of it."""
    kept, told = {}, []
    for at, key in steps:
        is_told, before, kept = ways.decide(kept, key, now=float(at), ways=Ways(**settings))
        told.append((is_told, before))
    return told


def test_a_repeat_of_days_is_kept_for_days():
    day = 86_400
    steps = [(1000, "a"), (1000 + day // 2, "a"), (1000 + day, "a")]
    assert decided(*steps, repeat_s=float(day)) == [(True, 0), (False, 0), (True, 1)]


def test_what_was_held_back_is_counted_for_as_long_as_it_takes():
    assert decided((1000, "a"), (1001, "a"), (1002, "a"), (99_000, "a")) == [
        (True, 0),
        (False, 0),
        (False, 0),
        (True, 2),
    ]


def test_a_clock_that_was_wrong_silences_nobody():
    assert decided((9_000_000, "a"), (1000, "a")) == [(True, 0), (True, 0)]


def test_a_flood_of_many_things_is_remembered_only_so_far():
    kept = {}
    for number in range(ways.KNOWN * 2):
        _, _, kept = ways.decide(kept, f"k{number}", now=1e6 + number, ways=Ways(most=1))
    assert len(kept["last"]) <= ways.KNOWN
