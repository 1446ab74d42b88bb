"""kvmha status on clusters as they were: CIBs that Pacemaker's scheduler was given in a lab, and how it read them.

The CIBs are inputs of the scheduler (/var/lib/pacemaker/pengine) of three nodes of Debian 12; the states are what
crm_simulate of the same release prints for them.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.console import Console

from kvmha.cli.main import main
from kvmha.policy.protection import BAD, REDUCED, WELL
from kvmha.tools import crm_simulate
from tests.fakes import FakeHost

RECORDED = Path(__file__).parent / "recorded/pacemaker-2.1.5/cluster"


def machine(name: str) -> FakeHost:
    """Return a machine with a recorded cluster in files, and a scheduler that reads it as that of the lab did."""
    host = FakeHost()
    host.files["/corosync.conf"] = (RECORDED / "corosync.conf").read_bytes()
    show(name)(host)
    return host


@pytest.fixture
def ask(capsys, monkeypatch):
    """Return a function that asks for the status of a recorded cluster: the exit code, and what was printed."""
    monkeypatch.setenv("COLUMNS", "80")

    def asked(name: str, *words: str) -> tuple[int, str]:
        code = main(["status", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf", *words], machine(name))
        return code, capsys.readouterr().out

    return asked


@pytest.fixture
def watched(monkeypatch):
    """Return a function that watches: what happens at each pause, the last of which ends it; and all that was shown."""

    def watch(name: str, *pauses) -> tuple[int, list[str]]:
        host, shown, left = machine(name), [], list(pauses)

        def update(_live, renderable, refresh=False):
            console = Console(width=80, file=io.StringIO())
            console.print(renderable)
            shown.append(console.file.getvalue())

        def sleep(_seconds):
            if not left:
                raise KeyboardInterrupt
            left.pop(0)(host)

        monkeypatch.setattr("rich.live.Live.update", update)
        monkeypatch.setattr(host, "sleep", sleep)
        code = main(["status", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf", "--watch"], host)
        return code, shown

    return watch


def show(name: str):
    """Return an event: the cluster becomes another one."""

    def event(host: FakeHost) -> None:
        host.files["/cib.xml"] = (RECORDED / f"{name}.cib.xml").read_bytes()
        host.commands[crm_simulate.STATE_ARGV] = (RECORDED / f"{name}.state.xml").read_text()

    return event


def hide(host: FakeHost) -> None:
    """Let the scheduler fail."""
    host.commands[crm_simulate.STATE_ARGV] = (1, "", "it failed")


def levels(text: str) -> dict[str, str]:
    return {point["name"]: point["level"] for point in json.loads(text)["points"]}


def said(text: str, name: str) -> str:
    return next(point["said"] for point in json.loads(text)["points"] if point["name"] == name)


NAMES = sorted(path.name.partition(".")[0] for path in RECORDED.glob("*.cib.xml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_cluster_is_told_as_text_and_as_json(ask, name):
    code, text = ask(name)
    assert code == 1
    assert all(word in text for word in ("nodes", "quorum", "fencing", "room", "actions", "web1"))
    assert max(len(line) for line in text.splitlines()) <= 80
    _, text = ask(name, "--json")
    found = json.loads(text)
    assert {node["name"] for node in found["nodes"]} == {"n1", "n2", "n3"}
    assert {each["name"] for each in found["guests"]} == {"web1", "web2", "web3"}
    assert found["unread"] == []


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(
            lambda conf: conf.replace("name: n", "name: other"), "is that of other1, other2, other3", id="other"
        ),
        pytest.param(lambda _conf: "", "/corosync.conf has no nodelist", id="empty"),
    ],
)
@pytest.mark.parametrize("words", [["status"], ["survivor"]], ids=lambda words: words[0])
def test_a_corosync_conf_that_is_not_this_clusters_ends_with_one_sentence(capsys, words, edit, said):
    host = machine("well")
    host.files["/corosync.conf"] = edit(host.read("/corosync.conf")).encode()
    assert main([*words, "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf"], host) == 2
    err = capsys.readouterr().err
    assert (said in err, err.count("\n")) == (True, 1)


def test_the_description_of_another_cluster_ends_with_one_sentence(capsys, checkout):
    host = machine("well")
    text = (checkout / "cluster-templates/three-node/cluster.yaml").read_text(encoding="utf-8")
    words = ["status", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf", "--description", "/cluster.yaml"]
    host.files["/cluster.yaml"] = text.encode()
    assert main(words, host) == 2
    err = capsys.readouterr().err
    assert ("describes the cluster demo, and this one is test-" in err, err.count("\n")) == (True, 1)
    (name,) = re.findall(r"cluster_name: (\S+)", host.read("/corosync.conf"))
    host.files["/cluster.yaml"] = text.replace("cluster: demo", f"cluster: {name}", 1).encode()
    assert main(words, host) == 1


DEFINITION = """\
<domain><name>{0}</name><uuid>3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a0{1}</uuid><memory unit='MiB'>512</memory>
<devices><interface type='bridge'><source bridge='br1'/></interface></devices></domain>"""


def test_what_guests_need_and_nodes_say_they_have_meet_in_the_room(capsys):
    """The definitions are those of a folder; the nodes' attributes are in the CIB."""
    host = machine("well")
    words = ["status", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf", "--definitions", "/guests", "--json"]
    for number in (1, 2, 3):
        host.files[f"/guests/web{number}.xml"] = DEFINITION.format(f"web{number}", number).encode()
    main(words, host)
    assert "not looked at, as no node says what it has: networks (has-networks; br1 of web1)" in said(
        capsys.readouterr().out, "room"
    )
    text = host.read("/cib.xml")
    rows = re.findall(r'<node id="(\d)" uname="n\d"/>', text)
    assert rows == ["1", "2", "3"]
    for number in rows:
        has = "br0,br1" if number == "1" else "br0"
        pair = (
            f'<nvpair id="a{number}n" name="has-networks" value="{has}"/><nvpair id="a{number}m" name="m" value="1"/>'
        )
        node = f'<node id="{number}" uname="n{number}"'
        block = f'<instance_attributes id="a{number}">{pair}</instance_attributes>'
        sizes = f'<utilization id="u{number}"><nvpair id="u{number}m" name="hv_memory" value="8192"/></utilization>'
        text = text.replace(f"{node}/>", f"{node}>{block}{sizes}</node>", 1)
    host.files["/cib.xml"] = text.encode()
    assert main(words, host) == 1
    out = capsys.readouterr().out
    assert (levels(out)["room"], "not looked at" in said(out, "room")) == (BAD, False)
    assert "there is no place for web1" in said(out, "room")


@pytest.mark.parametrize("folder", ["/none", "/cib.xml"])
def test_definitions_that_are_in_no_folder_are_refused(capsys, folder):
    words = ["status", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf", "--definitions", folder]
    assert main(words, machine("well")) == 2
    assert capsys.readouterr().err.startswith(f"kvmha: --definitions: {folder} is no folder")


def test_nodes_without_a_name_in_corosync_conf_are_known_by_their_ids(capsys):
    host = machine("well")
    text = host.read("/corosync.conf")
    host.files["/corosync.conf"] = "\n".join(x for x in text.splitlines() if not x.strip().startswith("name:")).encode()
    main(["status", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf", "--json"], host)
    assert levels(capsys.readouterr().out)["quorum"] == WELL


def test_a_cluster_that_runs_lacks_the_proof_of_its_fencing_alone(ask):
    _, text = ask("well", "--json")
    found = levels(text)
    assert (found["nodes"], found["quorum"], found["actions"]) == (WELL, WELL, WELL)
    assert found["fencing"] == REDUCED
    assert "never proven on n1, n2, n3" in said(text, "fencing")
    assert all(guest["usual_s"] is not None for guest in json.loads(text)["guests"])


def test_what_is_not_understood_is_said_as_text_too(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    host = machine("well")
    text = host.read("/cib.xml")
    assert "<constraints>" in text
    host.files["/cib.xml"] = text.replace("<constraints>", '<constraints><rsc_wish id="w1"/>', 1).encode()
    main(["status", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf"], host)
    assert "not understood: constraints/rsc_wish" in capsys.readouterr().out


def test_a_node_that_is_gone_and_not_yet_fenced_is_said(ask):
    _, text = ask("node-lost", "--json")
    assert levels(text)["nodes"] == BAD
    assert "n2 is unclean" in said(text, "nodes")


def test_without_quorum_that_comes_first(ask):
    _, text = ask("quorum-lost", "--json")
    assert levels(text)["quorum"] == BAD
    assert all(guest["is_within"] is not True for guest in json.loads(text)["guests"])


def test_what_probes_have_found_running_is_no_failure(ask):
    """The cluster looks anew after an adoption and a refresh, and keeps what it finds as if it had failed."""
    for name in ("held", "node-lost"):
        assert "_last_failure_0" in (RECORDED / f"{name}.cib.xml").read_text()
        _, text = ask(name, "--json")
        assert (levels(text)["actions"], said(text, "actions")) == (WELL, "nothing failed, nothing is under way")


def test_what_is_held_for_an_adoption_is_told_of_each_guest(ask):
    _, text = ask("held", "--json")
    assert {guest["state"] for guest in json.loads(text)["guests"]} == {"running, unmanaged"}


def test_a_start_that_failed_is_told_with_its_place(ask):
    _, text = ask("start-failed", "--json")
    assert levels(text)["actions"] in (REDUCED, BAD)
    assert "web3 start on" in said(text, "actions")


def test_an_agent_that_a_node_lacks_is_a_failure_there(ask):
    _, text = ask("agent-missing", "--json")
    assert "web2 monitor on" in said(text, "actions")


def test_watching_follows_the_cluster_and_outlives_its_silence(watched):
    code, shown = watched("well", show("node-lost"), hide, show("well"))
    assert code == 1
    assert [("n2 is unclean" in text, "does not answer" in text) for text in shown] == [
        (False, False),
        (True, False),
        (False, True),
        (False, False),
    ]


WATCH = """\
from tests.contract import test_recorded_status as recorded
host = recorded.machine("well")
left = [1, 2]
def sleep(_seconds):
    left.pop() if left else (_ for _ in ()).throw(KeyboardInterrupt)
host.sleep = sleep
raise SystemExit(recorded.main(["status", "--cib", "/cib.xml", "--corosync-conf", "/corosync.conf", "--watch"], host))
"""


@pytest.mark.parametrize("rows", [40, 12])
def test_watching_fills_a_terminal_of_80_columns_and_gives_it_back(rows):
    """A real one, as ssh makes it; of a screen that is too low the verdicts are at the top."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2])}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    child = subprocess.Popen([sys.executable, "-c", WATCH], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    heard = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:
            # The other side of a terminal has gone (pty(7)).
            break
        if not more:
            break
        heard += more
    os.close(ours)
    assert child.wait(timeout=30) == 1
    text = heard.decode()
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    # A new frame begins at the top, without a new line.
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\x1b[H", "\n"))
    shown = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert max(map(len, shown)) <= 80
    assert any(line.startswith("quorum") for line in shown)
    assert any("back after" in line for line in shown) == (rows == 40)


def test_a_cluster_that_never_answered_is_not_watched(monkeypatch, capsys):
    host = machine("well")
    hide(host)
    assert main(["status", "--cib", "/cib.xml", "--watch"], host) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
