"""Pacemaker's own alerts reach people by the ways of kvmha, from whichever node tells of what happened."""

from __future__ import annotations

import json

import pytest

from tests.lab.test_drill import RUNNER, TARGET, drill, logged_in

__all__ = ["drill", "logged_in"]

PORT = 8099
SINK = f"""\
import http.server

class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/run/kvmha-test-alerts", "ab") as told:
            told.write(body + b"\\n")
        self.send_response(204)
        self.end_headers()

http.server.HTTPServer(("", {PORT}), Sink).serve_forever()
"""


@pytest.fixture
def sink(drill):
    """Pacemaker's alerts as the documentation has them, told to a web server on the runner; return what it was told."""
    run = drill.cluster.run
    url = f"http://{drill.cluster.plan.node(RUNNER).addresses[0]}:{PORT}/hook"
    run(RUNNER, "rm", "-f", "/run/kvmha-test-alerts")
    run(RUNNER, "systemd-run", "--quiet", "--collect", "--unit=kvmha-test-sink", "python3", "-IS", "-c", SINK)
    try:
        run(RUNNER, "pcs", "alert", "create", "path=/usr/lib/kvmha/pacemaker-alert", "id=kvmha")
        run(RUNNER, "pcs", "alert", "recipient", "add", "kvmha", f"value={url}")
        yield lambda: [
            json.loads(line) for line in run(RUNNER, "cat", "/run/kvmha-test-alerts", ok=None).out.split("\n") if line
        ]
    finally:
        run(RUNNER, "pcs", "alert", "remove", "kvmha", ok=None)
        run(RUNNER, "systemctl", "stop", "kvmha-test-sink", ok=None)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_people_are_told_of_a_node_that_is_lost_fenced_and_back(drill, sink):
    outcome = drill.run("corosync-killed")
    assert (outcome["result"], outcome["breaches"]) == ("passed", []), outcome["said"]
    wanted = {("node-lost", TARGET), ("fenced", TARGET), ("node-back", TARGET)}
    told = lambda: {(each["kind"], each["subject"]) for each in sink()}  # noqa: E731
    drill.cluster.wait("people are told", lambda: wanted <= told(), limit=60)
    (sentence,) = {each["text"] for each in sink() if each["kind"] == "node-lost"}
    assert sentence == f"node {TARGET} is lost"
    assert {each["node"] for each in sink()} <= set(drill.cluster.nodes)
