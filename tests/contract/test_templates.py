"""The templates against the real tools: pcs edits a CIB offline, Pacemaker says what it would do with it.

Where the agents of kvmha are not installed, pcs is called with --force and so takes them unseen; their
parameters are then not checked here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kvmha.cluster import description, render
from kvmha.host import CommandFailed, Host

HOST = Host()
TEMPLATES = ("two-node", "three-node")
FORCED = """#!/bin/sh
exec {pcs} --force "$@"
"""


def need(*programs: str) -> None:
    missing = [program for program in programs if HOST.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def told(*argv: str, env: dict[str, str] | None = None) -> str:
    """Return what a tool prints. Raises CommandFailed if it did not end with 0."""
    return HOST.run(*argv, timeout=300, env=env).out


@pytest.fixture(scope="module", params=TEMPLATES)
def wanted(request, checkout) -> description.ClusterDescription:
    """Return each example's description."""
    return description.load(HOST, f"{checkout}/cluster-templates/{request.param}/cluster.yaml")


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    """Return a PATH whose pcs takes agents that are not installed."""
    need("pcs", "crm_resource", "cibadmin", "crm_verify", "crm_simulate", "fence_ipmilan")
    folder = tmp_path_factory.mktemp("bin")
    usual = "/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        for agent in ("VirtualDomain", "FloatingIP"):
            told("crm_resource", "--show-metadata", f"ocf:kvmha:{agent}")
    except CommandFailed:
        (folder / "pcs").write_text(FORCED.format(pcs=HOST.which("pcs")))
        (folder / "pcs").chmod(0o755)
    return f"{folder}:{usual}"


@pytest.fixture(scope="module")
def cib(wanted, path, tmp_path_factory) -> Path:
    """Return the CIB that cib.sh makes of an empty one."""
    folder = tmp_path_factory.mktemp("cib")
    (folder / "cib.sh").write_text(render.render(wanted)["cib.sh"])
    (folder / "cib.xml").write_text(told("cibadmin", "--empty"))
    told("sh", f"{folder}/cib.sh", f"{folder}/cib.xml", env={"PATH": path})
    return folder / "cib.xml"


@pytest.fixture(scope="module")
def running(cib, wanted) -> Path:
    """Return the CIB of a quorate cluster that has started all it can."""
    run = cib.with_name("running.xml")
    ups = [word for node in wanted.nodes for word in ("--node-up", node.name)]
    told("crm_simulate", "-x", str(cib), *ups, "--quorum", "1", "-S", "--save-output", str(run))
    return run


def transition(*argv: str) -> list[str]:
    """Return the lines of a simulation's summary, blanks and parentheses gone."""
    summary = told("crm_simulate", *argv).split("Transition Summary:\n")[-1].split("\n\n")[0]
    return [re.sub(r"[\s()*]+", " ", line).strip() for line in summary.splitlines() if "*" in line]


def test_crm_verify_finds_nothing_to_say(running):
    done = HOST.run("crm_verify", "-V", "-x", str(running), timeout=60, ok=None)
    assert (done.rc, done.out, done.err) == (0, "", "")


def test_all_starts_and_each_guest_where_it_prefers_to_be(cib, wanted):
    ups = [word for node in wanted.nodes for word in ("--node-up", node.name)]
    starts = dict(line.split()[1:3] for line in transition("-x", str(cib), *ups, "--quorum", "1", "-S"))
    for guest in wanted.guests:
        assert starts.pop(guest.name) == guest.prefers
    for floating in wanted.floating_ips:
        assert floating.prefers in (None, starts[floating.name])
        starts.pop(floating.name)
    assert sorted(starts) == [f"fence-{node.name}" for node in wanted.nodes]
    assert not [node.name for node in wanted.nodes if starts[f"fence-{node.name}"] == node.name]


def test_a_guest_on_standby_leaves_by_live_migration_and_its_address_goes_with_it(running, wanted):
    floating = next(floating for floating in wanted.floating_ips if floating.follows)
    guest = next(guest for guest in wanted.guests if guest.name == floating.follows)
    standby = running.with_name("standby.xml")
    standby.write_text(running.read_text())
    told("crm_attribute", "-t", "nodes", "-N", guest.prefers, "-n", "standby", "-v", "on",
         env={"CIB_file": str(standby)})  # fmt: skip
    moves = {line.split()[1]: line.split() for line in transition("-x", str(standby), "-S")}
    assert moves[guest.name][0] == "Migrate"
    assert moves[floating.name][0] == "Move"
    assert moves[floating.name][-1] == moves[guest.name][-1]


def test_a_lost_node_is_fenced_and_its_guests_start_elsewhere_and_stay_there(running, wanted):
    lost = wanted.guests[0].prefers
    after = running.with_name("after.xml")
    failed = transition("-x", str(running), "--node-fail", lost, "-S", "--save-output", str(after))
    assert failed[0].startswith(f"Fence reboot {lost}")
    assert wanted.guests[0].name in [line.split()[1] for line in failed if line.startswith("Move")]
    back = transition("-x", str(after), "--node-up", lost, "-S")
    assert not [line for line in back if line.startswith(("Move", "Migrate", "Restart", "Recover"))]


def test_a_part_without_quorum_starts_nothing_and_stops_nothing(running, wanted):
    inquorate = running.with_name("inquorate.xml")
    inquorate.write_text(running.read_text().replace('have-quorum="1"', 'have-quorum="0"'))
    lost = [word for node in wanted.nodes[1:] for word in ("--node-fail", node.name)]
    acts = transition("-x", str(inquorate), *lost, "--quorum", "0", "-S")
    assert [line for line in acts if "blocked" not in line] == []


def test_a_second_run_changes_nothing(cib, path):
    before = cib.read_text()
    said = told("sh", str(cib.with_name("cib.sh")), str(cib), env={"PATH": path})
    assert cib.read_text() == before
    assert "guest web1 exists, left as it is" in said


def test_corosync_takes_the_configuration(wanted, tmp_path):
    need("corosync", "unshare", "hostname")
    # corosync looks for its own host in the list of nodes, so that it runs under the name of the first.
    (tmp_path / "authkey").write_bytes(bytes(256))
    conf = render.render(wanted)["corosync.conf"]
    conf = conf.replace("totem {", f"totem {{\n    keyfile: {tmp_path}/authkey", 1)
    (tmp_path / "corosync.conf").write_text(conf)
    script = 'hostname "$1" && exec corosync -t -c "$2"'
    told("unshare", "--uts", "sh", "-c", script, "sh", wanted.nodes[0].name, f"{tmp_path}/corosync.conf")


def test_pcs_writes_the_same_corosync_conf(wanted, tmp_path):
    need("pcs")
    text = render.render(wanted)
    words = re.search(r'pcs cluster setup "\$cluster" \\\n(.*?)>&2', text["pcs.sh"], re.DOTALL)[1]
    arguments = words.replace("\\\n", " ").split()
    told("pcs", "cluster", "setup", wanted.cluster, *arguments, "--corosync_conf", f"{tmp_path}/corosync.conf")
    theirs = settings((tmp_path / "corosync.conf").read_text())
    ours = settings(text["corosync.conf"])
    # pcs gives a cluster an id of its own; two_node implies wait_for_all (votequorum(5)), which we write out.
    assert ours - theirs == ({("quorum", "wait_for_all: 1")} if len(wanted.nodes) == 2 else set())
    assert {line.split(":")[0] for _, line in theirs - ours} <= {"cluster_uuid"}


def settings(text: str) -> set[tuple[str, str]]:
    """Return the settings of a corosync.conf with the sections that they stand in; nodes by their number."""
    found, sections, node = set(), [], 0
    for line in map(str.strip, text.splitlines()):
        if line.endswith("{"):
            name = line[:-1].strip()
            node += name == "node"
            sections.append(f"node {node}" if name == "node" else name)
        elif line == "}":
            sections.pop()
        elif line and not line.startswith("#"):
            found.add((" ".join(sections), line))
    return found
