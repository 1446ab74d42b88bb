"""Alerts through real programs to real servers: msmtp in sendmail's place speaks SMTP to a server, webhooks HTTP."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import threading
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller

from kvmha import alert
from kvmha.alert import Alert, ways
from kvmha.host import Host

FENCED = Alert(kind="fenced", subject="n2", sentence="fencing of n2: größer\n.\nthe end", facts={"rc": "0"})
MSMTP = shutil.which("msmtp")


class Mailbox:
    """Takes what an SMTP client delivers; refuses whom it does not know."""

    def __init__(self):
        self.mails = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 queued"


class Later(Host):
    """The real machine, with a clock that can be put on."""

    ahead = 0.0

    def wall_clock(self):
        return super().wall_clock() + self.ahead


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """The real machine with files of its own; the journal is a list."""
    host = Later()
    host.logged = []
    monkeypatch.setattr(ways, "STATES", (str(tmp_path / "state.json"),))
    monkeypatch.setattr(ways, "CONF", str(tmp_path / "alert.conf"))
    monkeypatch.setattr(alert, "FOLDER", str(tmp_path / "alert.d"))
    monkeypatch.setattr(alert, "_log", lambda _host, made, _limit: host.logged.append(made.sentence))
    monkeypatch.setattr(alert, "_syslog", lambda text, is_alert: host.logged.append(text))
    host.configure = lambda *lines: (tmp_path / "alert.conf").write_text("\n".join(lines) + "\n")
    return host


@pytest.fixture
def mailbox(tmp_path, monkeypatch):
    if MSMTP is None:
        pytest.skip("msmtp is not installed, and no other program of a mail system can be told a server's port")
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    program = tmp_path / "sendmail"
    words = f"--host=127.0.0.1 --port={port} --from=kvmha@n1.example.org --tls=off --auth=off --timeout=10"
    program.write_text(f'#!/bin/sh\nexec {MSMTP} {words} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr("kvmha.host.PATH", (str(tmp_path), "/usr/bin", "/bin"))
    yield box
    controller.stop()


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def hook():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.heard = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield server
        server.shutdown()


def test_a_mail_arrives_at_a_server_whole(machine, mailbox):
    machine.configure("mail ops@example.org")
    assert alert.send(machine, FENCED, seconds=30) == ("mail ops@example.org",), machine.logged
    ((recipients, mail),) = mailbox.mails
    assert recipients == ["ops@example.org"]
    assert mail["To"] == "ops@example.org"
    assert mail["Subject"].endswith("fenced n2")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines()[:3] == ["fencing of n2: größer", ".", "the end"]
    assert "rc: 0" in mail.get_content()


def test_a_server_that_refuses_one_address_is_told_of_and_the_other_has_it(machine, mailbox):
    machine.configure("mail nobody@example.org", "mail ops@example.org")
    assert alert.send(machine, FENCED, seconds=30) == ("mail ops@example.org",)
    assert [recipients for recipients, _ in mailbox.mails] == [["ops@example.org"]]
    assert any("no such user here" in line or "nobody@example.org" in line for line in machine.logged)


def test_a_flood_comes_through_as_far_as_it_may_and_later_tells_how_much_was_held_back(machine, mailbox, hook):
    machine.configure("mail ops@example.org", f"webhook {hook.url}", "repeat 600", "most 4")
    for number in range(15):
        alert.send(machine, FENCED.replace(subject=f"n{number % 5}"), seconds=30)
    assert (len(mailbox.mails), len(hook.heard)) == (4, 4)
    assert [told["subject"] for told in hook.heard] == ["n0", "n1", "n2", "n3"]
    assert machine.logged == [FENCED.sentence] * 15, "the journal has all of them"
    machine.ahead = 3700.0
    alert.send(machine, FENCED.replace(subject="n0"), seconds=30)
    assert hook.heard[-1]["held_back"] == 2
    assert "held back since the last one: 2" in mailbox.mails[-1][1].get_content()


def test_many_who_tell_the_same_at_once_are_one(machine, hook):
    machine.configure(f"webhook {hook.url}")
    threads = [threading.Thread(target=alert.send, args=(machine, FENCED), kwargs={"seconds": 30}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.heard) == 1
