"""kvmha cluster check and kvmha cluster facts: what they print, and with which code they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvmha import gather
from kvmha.cli.main import main
from kvmha.cluster import lint
from kvmha.host import Completed, Host
from kvmha.policy.node import NodeFacts
from kvmha.record import plain
from kvmha.tools import cib, corosync_conf, ip_address, stonith_admin
from tests.fakes import FakeHost
from tests.unit.cluster.lint import examples

EXAMPLES = Path(examples.__file__).parent


@pytest.fixture
def files(tmp_path):
    """Return a function that puts the files of an example somewhere, changed by the way, and says how to check them."""

    def made(example="three", change=None):
        change = change or examples.Change()
        arguments = []
        for option, name, changes in (
            ("--corosync-conf", "corosync.conf", change.conf),
            ("--cib", "cib.xml", change.cib),
        ):
            text = (EXAMPLES / example / name).read_text()
            for old, new in changes:
                assert old in text
                text = text.replace(old, new)
            (tmp_path / name).write_text(text)
            arguments += [option, str(tmp_path / name)]
        for node in examples.facts(example, change).nodes:
            (tmp_path / node.node).write_text(json.dumps(plain(node)))
            arguments += ["--facts", str(tmp_path / node.node)]
        return arguments

    return made


OFF = examples.Change(cib=(('name="stonith-enabled" value="true"', 'name="stonith-enabled" value="false"'),))


def run(*arguments, host=None) -> int:
    return main(["cluster", *arguments], host or Host())


def test_a_clean_cluster_leaves_with_0_and_says_what_is_predicted(files, capsys):
    assert run("check", *files()) == 0
    out = capsys.readouterr().out
    assert f"0 errors, 0 warnings, 0 notes; {len(lint.RULES)} rules looked at it" in out
    assert "n1: lost after 6.0 to 6.6 s, fenced after " in out
    assert "web1: started after " in out


def test_an_error_leaves_with_1_and_says_the_numbers_and_both_ways_to_mend_it(files, capsys):
    assert run("check", *files(change=OFF)) == 1
    out = capsys.readouterr().out.splitlines()
    at = out.index(
        "error: stonith-enabled: a guest of a node that does not answer is started a second time while the first one "
        "may run  [fencing-off]"
    )
    assert out[at + 1 : at + 4] == [
        "    because      stonith-enabled=false",
        "    cluster.yaml properties: leave stonith-enabled out",
        "    or at once   pcs property set stonith-enabled=true",
    ]


def test_a_warning_alone_leaves_with_0(files, capsys):
    assert run("check", *files(change=examples.Change(conf=(("token: 3000", "token: 900"),)))) == 0
    assert "1 warning" in capsys.readouterr().out


def test_json_says_the_same(files, capsys):
    assert run("check", "--json", *files(change=OFF)) == 1
    said = json.loads(capsys.readouterr().out)
    assert [finding["rule"] for finding in said["findings"]] == ["fencing-off"]
    assert said["errors"] == 1
    assert said["findings"][0]["commands"] == ["pcs property set stonith-enabled=true"]
    assert [each["node"] for each in said["recovery"]] == ["n1", "n2", "n3"]
    assert said["recovery"][0]["lost"]["most_s"] == 6.6


def test_a_description_is_checked_and_its_nodes_are_left_to_live(checkout, capsys):
    assert run("check", str(checkout / "cluster-templates/three-node/cluster.yaml")) == 0
    assert "rules look at the nodes themselves: kvmha cluster check --live" in capsys.readouterr().out


@pytest.mark.parametrize("example", ["two-node", "two-node-qdevice", "three-node", "stretched-pair"])
def test_the_examples_that_we_ship_have_no_error_and_no_warning(checkout, capsys, example):
    assert run("check", "--json", str(checkout / f"cluster-templates/{example}/cluster.yaml")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["unknown"] == []
    assert [finding["rule"] for finding in said["findings"] if finding["severity"] != "note"] == []


def test_files_with_a_description_know_its_limits(files, tmp_path, checkout, capsys):
    text = (checkout / "cluster-templates/two-node/cluster.yaml").read_text()
    text = text.replace("\nguests:\n  - name: web1\n", "\nguests:\n  - name: web1\n    recovery_limit: 1\n")
    assert "recovery_limit: 1\n" in text
    (tmp_path / "cluster.yaml").write_text(text)
    assert run("check", str(tmp_path / "cluster.yaml"), "--json", *files("pair")) == 0
    rules = {finding["rule"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert "recovery-limit" in rules


def test_a_node_that_was_not_asked_is_listed_as_unknown(files, capsys):
    arguments = files()
    assert run("check", *arguments[:-2]) == 0
    out = capsys.readouterr().out
    assert "not known, and so not checked:" in out
    assert "n3: has not been asked: run kvmha there, or give --facts or --via" in out


def test_the_rules_are_listed(capsys):
    assert run("check", "--rules") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(lint.RULES)
    assert run("check", "--rules", "--json") == 0
    assert [rule["id"] for rule in json.loads(capsys.readouterr().out)] == [rule.id for rule in lint.RULES]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param((), "nothing to check; give a cluster.yaml, or --live, or", id="none"),
        pytest.param(("--cib", "/nowhere.xml"), "cannot read /nowhere.xml: No such file or directory", id="no-file"),
        pytest.param(("--live", "--cib", "x"), "--live and --corosync-conf or --cib were given together", id="both"),
        pytest.param(("--via", "ssh %n", "--cib", "x"), "--via asks the nodes of a running cluster", id="via"),
    ],
)
def test_bad_input_leaves_with_2_and_one_sentence(arguments, said, capsys):
    assert run("check", *arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"kvmha: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        pytest.param("--corosync-conf", "totem {\n", "line 1: the section totem has no end; corosync -t -c", id="conf"),
        pytest.param("--cib", "<cib/>", "has no <configuration> in a <cib>; give what", id="cib"),
        pytest.param("--facts", "[]", "is not what kvmha cluster facts prints; run that on the node again", id="facts"),
    ],
)
def test_a_file_that_is_something_else_is_named(option, text, said, tmp_path, capsys):
    (tmp_path / "file").write_text(text)
    more = [] if option != "--facts" else ["--cib", str(EXAMPLES / "three/cib.xml")]
    assert run("check", option, str(tmp_path / "file"), *more) == 2
    err = capsys.readouterr().err
    assert str(tmp_path / "file") in err
    assert said in err


class Node(FakeHost):
    """A node of the example with three nodes, on which only the cluster's own tools answer."""

    def __init__(self, name="n1") -> None:
        super().__init__()
        number = name[1:]
        self.files = {
            corosync_conf.PATH: (EXAMPLES / "three/corosync.conf").read_bytes(),
            "/proc/sys/kernel/hostname": f"{name}.example.org\n".encode(),
            "/proc/meminfo": b"MemTotal: 16777216 kB\n",
        }
        self.commands[cib.query_argv()] = (EXAMPLES / "three/cib.xml").read_text()
        address = {"local": f"10.77.0.1{number}", "prefixlen": 24}
        self.commands[ip_address.ARGV] = json.dumps([{"ifname": "br0", "mtu": 1500, "addr_info": [address]}])
        for agent in ("fence_ipmilan", "fence_apc_snmp"):
            self.commands[stonith_admin.metadata_argv(agent)] = "<resource-agent/>"

    def run(self, *argv, **more) -> Completed:
        if argv not in self.commands:
            self.commands[argv] = (1, "", "not today")
        return super().run(*argv, **more)


def test_a_live_cluster_is_checked_with_what_this_node_tells(capsys):
    assert run("check", "--live", "--json", host=Node()) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["source"] == "live"
    found = {(finding["rule"], *finding["subjects"]) for finding in said["findings"]}
    # The node is found by its address, whatever it calls itself; its guests' definitions are not there.
    assert found >= {("uname-differs", "n1"), ("definition", "web1"), ("definition", "web2")}
    assert {"subject": "n1", "said": "units: systemctl exited with 1: not today"}.items() <= next(
        each for each in said["unknown"] if each["said"].startswith("units")
    ).items()


def test_peers_are_asked_by_the_way_that_was_given(capsys):
    host = Node()
    for name, answer in (("n2", json.dumps(plain(NodeFacts(node="n2", uname="n2")))), ("n3", (255, "", "no route"))):
        host.commands["ssh", "-x", f"root@{name}", "kvmha", "cluster", "facts", "--node", name] = answer
    run("check", "--live", "--json", "--via", "ssh -x root@%n", host=host)
    said = json.loads(capsys.readouterr().out)
    assert [f["subjects"] for f in said["findings"] if f["rule"] == "uname-differs"] == [["n1"]]
    assert {(each["subject"], each["said"]) for each in said["unknown"]} >= {
        ("n3", "cannot be asked: ssh exited with 255: no route")
    }


def test_what_a_peer_brings_must_be_facts(capsys):
    host = Node()
    for name in ("n2", "n3"):
        host.commands["ssh", name, "kvmha", "cluster", "facts", "--node", name] = "Welcome!\n"
    run("check", "--live", "--json", "--via", "ssh %n", host=host)
    said = {each["said"] for each in json.loads(capsys.readouterr().out)["unknown"]}
    assert "cannot be asked: ssh brought something that is not what kvmha cluster facts prints" in said


def test_without_a_cluster_here_live_says_where_to_run_it(capsys):
    assert run("check", "--live", host=FakeHost()) == 2
    assert "cannot read /etc/corosync/corosync.conf" in capsys.readouterr().err


def test_facts_are_json_with_the_name_that_the_cluster_has_for_the_node(capsys):
    assert run("facts", host=Node("n2")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["node"], told["uname"]) == ("n2", "n2.example.org")
    assert [found["path"] for found in told["definitions"]] == [f"/etc/kvmha/guests/web{n}.xml" for n in (1, 2)]


def test_facts_hold_no_password(capsys):
    host = Node()
    secret = host.commands[cib.query_argv()].replace(
        'name="ip"', 'name="password" value="hush"/><nvpair id="x" name="ip"', 1
    )
    host.commands[cib.query_argv()] = secret
    assert run("facts", host=host) == 0
    assert "hush" not in capsys.readouterr().out


def test_facts_of_a_node_on_which_pacemaker_is_down_come_from_its_copy(capsys):
    host = Node()
    host.files[gather.CIB_COPY] = host.commands[cib.query_argv()].encode()
    host.commands[cib.query_argv()] = (102, "", "Could not connect to cib_rw: Transport endpoint is not connected")
    assert run("facts", host=host) == 0
    assert len(json.loads(capsys.readouterr().out)["definitions"]) == 2
