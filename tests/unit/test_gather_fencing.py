"""Every path of every fence device is found, and tried with what the fencer would give the agent."""

from __future__ import annotations

import json

import pytest

from kvmha.cli.drill import running
from kvmha.cli.main import main
from kvmha.cluster.facts import of_files
from kvmha.errors import UserError
from kvmha.gather import fencing
from kvmha.host import CommandMissing, CommandTimeout, Host
from kvmha.policy import fencing_proof
from kvmha.policy.fencing_proof import ANSWERS, ATTRIBUTE, FAILED, OFF, ON, Path
from kvmha.tools import fence_agent
from tests.fakes import FakeHost

DEVICE = """
<primitive id="{id}" class="stonith" type="{agent}"><instance_attributes id="{id}-a">{params}</instance_attributes>
<meta_attributes id="{id}-m">{meta}</meta_attributes></primitive>"""
CIB = """
<cib><configuration><crm_config/><nodes>{nodes}</nodes><resources>{devices}</resources>
<constraints>{constraints}</constraints><fencing-topology>{levels}</fencing-topology></configuration><status/></cib>"""
METADATA = """<?xml version="1.0" ?>
<resource-agent name="fence_x"><parameters><parameter name="ip"/>{options}</parameters>
<actions><action name="on"/><action name="off"/><action name="monitor"/>{actions}</actions></resource-agent>"""
PASSWORD = "hunter2"


def pairs(prefix, values):
    return "".join(f'<nvpair id="{prefix}-{name}" name="{name}" value="{value}"/>' for name, value in values.items())


def device(name, agent="fence_x", meta=(), **params):
    params = {"ip": "192.0.2.1", "password": PASSWORD, **params}
    return DEVICE.format(id=name, agent=agent, params=pairs(name, params), meta=pairs(f"{name}-m", dict(meta)))


def cib(*devices, nodes=("n1", "n2", "n3"), constraints="", levels="", attributes=()):
    attributes = dict(attributes)
    told = "".join(
        f'<node id="{place}" uname="{name}"><instance_attributes id="a{place}">'
        f"{pairs(f'a{place}', attributes.get(name, {})) if name in attributes else ''}</instance_attributes></node>"
        for place, name in enumerate(nodes, 1)
    )
    return CIB.format(nodes=told, devices="".join(devices), constraints=constraints, levels=levels)


def facts(text):
    return of_files(cib=text, cib_source="test")


def away(name, node):
    return f'<rsc_location id="l-{name}-{node}" rsc="{name}" node="{node}" score="-INFINITY"/>'


def agent(host, answer, *, name="fence_x", options="", actions='<action name="status"/>'):
    host.commands[fence_agent.metadata_argv(name)] = METADATA.format(options=options, actions=actions)
    host.commands[(fence_agent.program(name),)] = answer


class Listening(FakeHost):
    """A machine that keeps what commands were given on their standard input."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def run(self, *argv, given="", **options):
        self.heard += [given] if given else []
        return super().run(*argv, given=given, **options)

    def wall_clock(self):
        return self.clock


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            cib(device("f1", pcmk_host_list="n1")), {("f1", "n1", "n2"), ("f1", "n1", "n3")}, id="all-others-may-use-it"
        ),
        pytest.param(
            cib(device("f1", pcmk_host_list="n1"), constraints=away("f1", "n3")), {("f1", "n1", "n2")},
            id="a-constraint-keeps-one-away",
        ),
        pytest.param(
            cib(device("f", pcmk_host_map="n1:3;n2:4"), nodes=("n1", "n2")), {("f", "n1", "n2"), ("f", "n2", "n1")},
            id="one-device-for-both",
        ),
        pytest.param(
            cib(device("f1", pcmk_host_list="n1", meta={"target-role": "Stopped"})), set(), id="a-disabled-one-is-none"
        ),
        pytest.param(
            cib(
                device("f1", pcmk_host_list="n1"), device("g1", pcmk_host_list="n1"), nodes=("n1", "n2"),
                levels='<fencing-level id="v" target="n1" index="1" devices="f1"/>'
                '<fencing-level id="w" target="n1" index="2" devices="g1"/>',
            ), {("f1", "n1", "n2"), ("g1", "n1", "n2")}, id="every-level",
        ),
        pytest.param(
            cib(device("w", agent="fence_watchdog", pcmk_host_list="n1")), set(), id="the-watchdog-cannot-be-asked"
        ),
    ],
)  # fmt: skip
def test_every_way_to_fence_is_a_path(text, want):
    assert {(each.device, each.target, each.node) for each in fencing.paths(facts(text))} == want


@pytest.mark.parametrize(
    ("answer", "actions", "state", "said"),
    [
        pytest.param((0, "Status: ON", ""), '<action name="status"/>', ON, "", id="on"),
        pytest.param((2, "Status: OFF", ""), '<action name="status"/>', OFF, "", id="off"),
        pytest.param((0, "", ""), "", ANSWERS, "", id="it-only-answers"),
        pytest.param((2, "", ""), "", FAILED, "exited with 2", id="off-is-no-answer-of-a-monitor"),
        pytest.param((1, "", f"Login failed as admin with {PASSWORD}\n"), '<action name="status"/>', FAILED,
                     "Login failed as admin with ***", id="failed"),
        pytest.param(CommandTimeout, '<action name="status"/>', FAILED, "no answer in 7 s", id="silent"),
        pytest.param(CommandMissing, '<action name="status"/>', FAILED, "is not installed", id="no-such-agent"),
    ],
)  # fmt: skip
def test_what_the_device_answers_is_what_is_proven(answer, actions, state, said):
    host = Listening()
    agent(host, answer, actions=actions)
    text = cib(device("f1", pcmk_host_list="n1", pcmk_status_timeout="7s"), nodes=("n1", "n2"))
    (trial,) = fencing.try_here(host, facts(text), [Path(device="f1", target="n1", node="n2")], count=3)
    assert (trial.state, trial.at) == (state, host.clock)
    assert said in trial.said
    assert PASSWORD not in trial.said
    assert len(trial.seconds) == (3 if state != FAILED else 0)
    assert all(PASSWORD not in word for argv in host.ran for word in argv)


@pytest.mark.parametrize(
    ("params", "options", "want"),
    [
        pytest.param({}, "", {}, id="an-agent-without-plugs"),
        pytest.param({}, '<parameter name="plug"/><parameter name="port"/>', {"plug": "n1"}, id="plug"),
        pytest.param({}, '<parameter name="port"/>', {"port": "n1"}, id="port"),
        pytest.param({"pcmk_host_map": "n1:7;n2:8"}, '<parameter name="plug"/>', {"plug": "7"}, id="mapped"),
        pytest.param({"plug": "5"}, '<parameter name="plug"/>', {"plug": "5"}, id="said-by-the-device"),
        pytest.param({"pcmk_host_argument": "none"}, '<parameter name="plug"/>', {}, id="not-wanted"),
        pytest.param({"pcmk_host_argument": "uuid"}, "", {"uuid": "n1"}, id="under-another-name"),
        pytest.param({}, '<parameter name="nodename"/>', {"nodename": "n1"}, id="nodename"),
        pytest.param({"pcmk_status_action": "query"}, "", {"action": "query"}, id="another-action"),
    ],
)
def test_the_agent_is_given_what_the_fencer_would_give(params, options, want):
    host = Listening()
    agent(host, (0, "", ""), options=options)
    text = cib(device("f1", pcmk_host_list="n1", **params), nodes=("n1", "n2"))
    fencing.try_here(host, facts(text), [Path(device="f1", target="n1", node="n2")], count=1)
    heard = dict(line.split("=", 1) for line in host.heard[0].splitlines())
    assert heard == {"ip": "192.0.2.1", "password": PASSWORD, "action": "status", **want}


def test_a_secret_that_is_kept_in_a_file_is_read_and_one_that_is_missing_is_named():
    host = Listening()
    agent(host, (0, "", ""))
    text = cib(device("f1", pcmk_host_list="n1", password=fence_agent.SECRET_MARK), nodes=("n1", "n2"))
    path = Path(device="f1", target="n1", node="n2")
    (trial,) = fencing.try_here(host, facts(text), [path], count=1)
    assert (trial.state, host.heard) == (FAILED, [])
    assert f"{fence_agent.SECRETS}/f1/password" in trial.said
    host.files[f"{fence_agent.SECRETS}/f1/password"] = b"geheim\n"
    (trial,) = fencing.try_here(host, facts(text), [path], count=1)
    assert trial.state == ON
    assert "password=geheim\n" in host.heard[0]


def test_a_real_agent_is_asked_through_its_standard_input(tmp_path, monkeypatch):
    """A program in the place of the agent, started by the real Host."""
    program = tmp_path / "fence_x"
    text = METADATA.format(options='<parameter name="plug"/>', actions='<action name="status"/>')
    (tmp_path / "metadata").write_text(text)
    program.write_text(
        f'#!/bin/sh\n[ "$2" != metadata ] || exec cat {tmp_path}/metadata\ncat >{tmp_path}/heard\nexit 2\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(fence_agent, "program", lambda name: str(tmp_path / name))
    found = facts(cib(device("f1", pcmk_host_list="n1"), nodes=("n1", "n2")))
    (trial,) = fencing.try_here(Host(), found, [Path(device="f1", target="n1", node="n2")], count=2)
    assert (trial.state, len(trial.seconds), trial.start_s is not None) == (OFF, 2, True)
    assert fencing_proof.read("n2", fencing_proof.written([trial]))[0].start_s == trial.start_s
    assert set((tmp_path / "heard").read_text().split()) == {
        "ip=192.0.2.1", f"password={PASSWORD}", "action=status", "plug=n1"
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------------- the command


QUERY = ("cibadmin", "--query")


@pytest.fixture
def two():
    """Two nodes, seen from n1: the cluster keeps what is written into it, and nobody is reached by ssh."""
    host = Listening()
    host.files["/proc/sys/kernel/hostname"] = b"n1\n"
    kept = {}
    devices = [device(f"f{n}", pcmk_host_list=f"n{n}") for n in (1, 2)]
    host.commands[QUERY] = lambda: cib(*devices, nodes=("n1", "n2"), attributes=kept.items())
    agent(host, (0, "Status: ON", ""))
    run = host.run

    def answered(*argv, **options):
        if argv[:2] == ("crm_attribute", "--node"):
            kept[argv[2]] = {argv[4]: argv[6].replace('"', "&quot;")}
            return None
        if argv[0] == "ssh":
            options["ok"] = None
            host.commands[argv] = (255, "", "root@n2: Permission denied (publickey).\n")
        return run(*argv, **options)

    host.run = answered
    host.kept = kept
    return host


def test_what_was_tried_is_kept_and_what_was_not_is_not_said_to_be_proven(two, capsys):
    assert main(["fence", "prove", "--json"], two) == 1
    told = json.loads(capsys.readouterr().out)
    assert {(row["target"], row["node"], row["state"]) for row in told["paths"]} == {
        ("n2", "n1", "on"), ("n1", "n2", "untried")
    }  # fmt: skip
    assert "Permission denied" in told["not_asked"]["n2"]
    assert list(two.kept) == ["n1"]
    assert list(two.kept["n1"]) == [ATTRIBUTE]
    assert PASSWORD not in str(two.kept)


def test_what_another_node_has_kept_counts(two, capsys):
    assert main(["fence", "prove", "--here"], two) == 0
    two.kept["n2"] = {ATTRIBUTE: '[["f1","n1",%d,"on",[0.2],""]]'.replace('"', "&quot;") % two.clock}
    capsys.readouterr()
    assert main(["fence", "prove", "--show"], two) == 0
    assert "all 2 paths answered" in capsys.readouterr().out
    two.clock += 3 * 86400
    assert main(["fence", "prove", "--show"], two) == 1
    assert "2 of 2 paths were not tried in the last 2 days" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--node", "n9"], "--node: no fence device is for n9; there are devices for n1, n2", id="node"),
        pytest.param(["--count", "0"], '--count: "0" is no number from 1 to 9', id="count"),
        pytest.param(["--power-cycle"], "--power-cycle wants --node: one node at a time", id="cycle-of-what"),
        pytest.param(["--power-cycle", "--node", "n2", "--here"], "does not go together with --here", id="cycle-here"),
        pytest.param(["--confirm", "n2"], "--confirm and --despite are for --power-cycle", id="confirm-of-what"),
        pytest.param(["--count", "x"], '--count: "x" is no number from 1 to 9', id="count-is-a-word"),
    ],
)
def test_bad_input_is_named(two, capsys, words, said):
    assert main(["fence", "prove", *words], two) == 2
    assert said in capsys.readouterr().err
    assert not two.kept


def test_without_a_device_it_says_so(two, capsys):
    two.commands[QUERY] = cib(nodes=("n1", "n2"))
    assert main(["fence", "prove"], two) == 2
    assert "no fence device" in capsys.readouterr().err


def test_a_path_that_failed_is_told(two, capsys):
    logger = ("logger", "--journald")
    two.commands[logger] = ""
    two.commands[(fence_agent.program("fence_x"),)] = (1, "", f"Login failed with {PASSWORD}")
    assert main(["fence", "prove", "--here"], two) == 1
    assert "n1 cannot fence n2 by f2: " in capsys.readouterr().out
    (told,) = [text for text in two.heard if "KVMHA_ALERT_KIND=fence-path-failed" in text]
    assert "KVMHA_ALERT_SUBJECT=n2" in told
    assert PASSWORD not in told


@pytest.mark.parametrize(("code", "is_kept"), [(0, True), (1, False)])
def test_a_power_cycle_is_the_drill_and_counts_only_where_that_passed(two, capsys, monkeypatch, code, is_kept):
    """The drill itself is stood in for; that it is the real one is the lab's test."""
    ordered = []

    def drilled(args, _host):
        ordered.append((args.drill, args.node, args.destructive, args.confirm, args.despite))
        print('{"result": "so"}')
        two.clock += 60
        return code

    monkeypatch.setattr(running, "run_handler", drilled)
    words = ["--node", "n2", "--power-cycle", "--confirm", "n2", "--despite", "room", "--json"]
    assert main(["fence", "prove", *words], two) == (0 if is_kept else 1)
    assert ordered == [("power-cut", "n2", True, "n2", ["room"])]
    told = json.loads(capsys.readouterr().out)
    assert told["power_cycle"] == {"result": "so"}
    assert [row["cycled_at"] for row in told["paths"]] == [two.clock if is_kept else None]
    # What is tried every day afterwards keeps it.
    two.clock += 86400
    main(["fence", "prove", "--here"], two)
    shown = capsys.readouterr().out
    assert ("24 hours ago" in shown) is is_kept


def test_a_closed_gate_keeps_the_power_on(two, capsys, monkeypatch):
    def refused(args, _host):
        raise UserError("power-cut is not run, since not every gate is open:\n  quorum: without n2 there is none")

    monkeypatch.setattr(running, "run_handler", refused)
    assert main(["fence", "prove", "--node", "n2", "--power-cycle", "--confirm", "n2"], two) == 2
    assert "quorum: without n2 there is none" in capsys.readouterr().err
