"""The templates against the real tools: what each of them says about the files that are written for it.

Pacemaker says what it would do with cib.xml; pcs and crmsh have to arrive at the same configuration. Where agents are
not installed, pcs is called with --force and so takes them unseen; their parameters are then not checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvmha.cluster import configuration, description, render
from kvmha.host import Host
from tests.contract.warm_pcs import warm

HOST = Host()
FORCED = """#!/bin/sh
case $3.$4 in
    resource.create | stonith.create) exec {pcs} --force "$@" ;;
esac
exec {pcs} "$@"
"""
USUAL_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
SCORE = "10000"


def need(*programs: str) -> None:
    missing = [program for program in programs if HOST.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def told(*argv: str, env: dict[str, str] | None = None) -> str:
    """Return what a tool prints. Raises CommandFailed if it did not end with 0."""
    return HOST.run(*argv, timeout=800, env=env).out


@pytest.fixture(scope="module", params=description.TEMPLATES)
def wanted(request, checkout) -> description.ClusterDescription:
    """Return each example's description."""
    return description.load(HOST, f"{checkout}/cluster-templates/{request.param}/cluster.yaml")


def missing_agents(wanted: description.ClusterDescription) -> list[str]:
    """Return the agents that are not installed here."""
    agents = dict.fromkeys(part.primitive.agent for part in configuration.of(wanted).parts)
    return [agent for agent in agents if HOST.run("crm_resource", "--show-metadata", agent, timeout=60, ok=None).rc]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder of this module's own."""
    return tmp_path_factory.mktemp("rendered")


@pytest.fixture(scope="module")
def cib(wanted, folder) -> Path:
    """Return cib.xml as a file."""
    need("crm_verify", "crm_simulate")
    path = folder / "cib.xml"
    path.write_text(with_status(render.cib_xml(wanted), wanted))
    return path


def with_status(text: str, wanted: description.ClusterDescription) -> str:
    """Return a CIB in which every copy of a DRBD resource is as good as the others, as its agent would have written."""
    states = []
    for number, node in enumerate(wanted.nodes, 1):
        scores = "".join(
            f'<nvpair id="s-{number}-{disk.name}" name="drbd-promotion-score-{disk.name}" value="{SCORE}"/>'
            for disk in wanted.drbd
            if node.name in (disk.nodes or [each.name for each in wanted.nodes])
        )
        inside = f'<instance_attributes id="status-{number}">{scores}</instance_attributes>' if scores else ""
        states.append(
            f'<node_state id="{number}" uname="{node.name}" in_ccm="false" crmd="offline" join="down" expected="down">'
            f'<transient_attributes id="{number}">{inside}</transient_attributes></node_state>'
        )
    # The watchdog is a device of the level only where sbd runs, which Pacemaker notes here.
    if wanted.sbd:
        known = '<nvpair id="have-watchdog" name="have-watchdog" value="true"/>'
        text = text.replace("      </cluster_property_set>", f"{known}</cluster_property_set>", 1)
    return text.replace("<status/>", f"<status>{''.join(states)}</status>")


def granted(wanted: description.ClusterDescription) -> list[str]:
    """Return the options that give this site all tickets."""
    return [word for ticket in (wanted.booth.tickets if wanted.booth else ()) for word in ("-g", ticket.name)]


def ups(wanted: description.ClusterDescription) -> list[str]:
    return [word for node in wanted.nodes for word in ("--node-up", node.name)]


@pytest.fixture(scope="module")
def running(cib, wanted) -> Path:
    """Return the CIB of a quorate cluster that has started all it can."""
    run = cib.with_name("running.xml")
    up = cib.with_name("up.xml")
    options = (*ups(wanted), "--quorum", "1", *granted(wanted))
    told("crm_simulate", "-x", str(cib), *options, "-S", "--save-output", str(up))
    # A second look, for what waits for the first: a fence device of another level, say.
    told("crm_simulate", "-x", str(up), "-S", "--save-output", str(run))
    return run


def transition(*argv: str) -> list[str]:
    """Return the lines of a simulation's summary, blanks and parentheses gone."""
    summary = told("crm_simulate", *argv).split("Transition Summary:\n")[-1].split("\n\n")[0]
    lines = [re.sub(r"[\s()*]+", " ", line).strip() for line in summary.splitlines() if "*" in line]
    # Without anything to do there is no summary, and what follows begins with these.
    return [line for line in lines if not line.startswith("Pseudo action")]


def test_crm_verify_finds_nothing_to_say(running):
    done = HOST.run("crm_verify", "-V", "-x", str(running), timeout=60, ok=None)
    assert (done.rc, done.out, done.err) == (0, "", "")


def test_a_cluster_that_has_started_has_nothing_more_to_do(running):
    assert transition("-x", str(running), "-S") == []


def test_all_starts_and_each_guest_where_it_prefers_to_be(cib, wanted):
    lines = transition("-x", str(cib), *ups(wanted), "--quorum", "1", *granted(wanted), "-S")
    starts = dict(line.split()[1:3] for line in lines)
    for guest in wanted.guests:
        place = starts.pop(guest.name)
        assert guest.prefers in (None, place)
        assert place in (guest.nodes or [node.name for node in wanted.nodes])
        for disk in guest.disks:
            assert starts.pop(f"primary-{disk}") == place
    for floating in wanted.floating_ips:
        place = starts.pop(floating.name)
        assert floating.prefers in (None, place)
    own = {device.id: device.node for device in description.fence_devices(wanted)}
    assert own.keys() <= starts.keys()
    assert not [device for device, node in own.items() if starts.pop(device) == node]
    left = {name.partition(":")[0] for name in starts}
    assert left == {*(f"drbd-{disk.name}" for disk in wanted.drbd),
                    *(("fence-sbd",) if wanted.sbd and wanted.sbd.devices else ()),
                    *(("booth", "booth-ip") if wanted.booth else ())}  # fmt: skip


def test_a_guest_on_standby_leaves_by_live_migration_and_its_address_goes_with_it(running, wanted):
    floating = next(floating for floating in wanted.floating_ips if floating.follows)
    guest = next(guest for guest in wanted.guests if guest.name == floating.follows)
    standby = running.with_name("standby.xml")
    standby.write_text(running.read_text())
    told("crm_attribute", "-t", "nodes", "-N", guest.prefers, "-n", "standby", "-v", "on",
         env={"CIB_file": str(standby)})  # fmt: skip
    moves = {line.split()[1]: line.split() for line in transition("-x", str(standby), "-S")}
    assert moves[guest.name][0] == "Migrate"
    assert {moves[f"primary-{disk}"][0] for disk in guest.disks} <= {"Migrate"}
    assert moves[floating.name][0] == "Move"
    assert moves[floating.name][-1] == moves[guest.name][-1]


def test_a_guest_that_is_moved_goes_live_and_takes_the_right_to_write_its_disks_along(running, wanted):
    for guest in (guest for guest in wanted.guests if guest.migrate):
        home = guest.prefers or wanted.nodes[0].name
        target = next(name for name in guest.nodes or [node.name for node in wanted.nodes] if name != home)
        moved, after = running.with_name("moved.xml"), running.with_name("after-move.xml")
        moved.write_text(running.read_text())
        told("crm_resource", "-r", guest.name, "--move", "-N", target, env={"CIB_file": str(moved)})
        lines = transition("-x", str(moved), "-S", "--save-output", str(after))
        found = {line.split()[1]: line.split() for line in lines}
        ours = {guest.name, *(f"primary-{disk}" for disk in guest.disks)}
        assert {found[name][-1] for name in ours} == {target}
        # A guest that must not meet it may have to make room, and does so live as well.
        live = [each for each in wanted.guests if each.migrate]
        names = {name for each in live for name in (each.name, *(f"primary-{disk}" for disk in each.disks))}
        assert {found[name][0] for name in names & found.keys()} == {"Migrate"}
        assert transition("-x", str(after), "-S") == []


def test_a_lost_node_is_fenced_and_its_guests_start_elsewhere_and_stay_there(running, wanted):
    lost = wanted.guests[0].prefers
    after = running.with_name("after.xml")
    failed = transition("-x", str(running), "--node-fail", lost, "-S", "--save-output", str(after))
    assert failed[0].startswith(f"Fence reboot {lost}")
    assert wanted.guests[0].name in [line.split()[1] for line in failed if line.startswith("Move")]
    back = transition("-x", str(after), "--node-up", lost, "-S")
    moved = [line for line in back if line.startswith(("Move", "Migrate", "Restart", "Recover"))]
    assert [line for line in moved if "fence" not in line] == []


def test_a_part_without_quorum_starts_nothing_and_stops_nothing(running, wanted):
    inquorate = running.with_name("inquorate.xml")
    inquorate.write_text(running.read_text().replace('have-quorum="1"', 'have-quorum="0"'))
    lost = [word for node in wanted.nodes[1:] for word in ("--node-fail", node.name)]
    # Looked at and not carried out: crm_simulate of 2.1.5 waits for what is blocked, and calls that invalid.
    acts = transition("-x", str(inquorate), *lost, "--quorum", "0", "--run")
    assert [line for line in acts if "blocked" not in line] == []


def test_guests_wait_for_the_ticket_of_their_site(cib, wanted):
    if not wanted.booth:
        pytest.skip("this example has no second site")
    lines = transition("-x", str(cib), *ups(wanted), "--quorum", "1", "-S")
    started = {line.split()[1] for line in lines if line.startswith("Start") and "blocked" not in line}
    waiting = {guest.name for guest in wanted.guests if guest.ticket}
    assert waiting
    assert not started & waiting
    assert {guest.name for guest in wanted.guests if not guest.ticket} <= started


def test_guests_that_must_not_meet_stay_apart_to_the_end(running, wanted):
    pairs = [(guest.name, other) for guest in wanted.guests for other in guest.never_with]
    if not pairs:
        pytest.skip("this example keeps no guests apart")
    lost = [word for node in wanted.nodes[:-1] for word in ("--node-fail", node.name)]
    left = running.with_name("left.xml")
    told("crm_simulate", "-x", str(running), *lost, "--quorum", "1", "-S", "--save-output", str(left))
    told("crm_simulate", "-x", str(left), "-S", "--save-output", str(left))
    where = told("crm_simulate", "-x", str(left))
    for guest, other in pairs:
        runs = [name for name in (guest, other) if re.search(rf"\* {name}\t.*Started", where)]
        assert len(runs) == 1, where


def empty(wanted: description.ClusterDescription) -> str:
    """Return the CIB of a cluster that has nothing but its nodes."""
    nodes = "".join(f'<node id="{number}" uname="{node.name}"/>' for number, node in enumerate(wanted.nodes, 1))
    return told("cibadmin", "--empty").replace("<nodes/>", f"<nodes>{nodes}</nodes>")


@pytest.fixture(scope="module")
def warm_pcs(tmp_path_factory) -> Iterator[Path]:
    """Return a program that is pcs, but for the time that it takes to start."""
    need("pcs")
    folder = tmp_path_factory.mktemp("pcs")
    with warm(HOST, folder) as program:
        path = folder / "pcs"
        path.write_text(program)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def all_by_pcs(checkout, warm_pcs, tmp_path_factory) -> dict[str, Path]:
    """Return the CIB that each example's cib.sh makes of an empty one; all at a time, since pcs is slow."""
    need("crm_resource", "cibadmin")

    def make(name: str) -> Path:
        wanted = description.load(HOST, f"{checkout}/cluster-templates/{name}/cluster.yaml")
        folder = tmp_path_factory.mktemp(f"pcs-{name}")
        (folder / "cib.sh").write_text(render.render(wanted)["cib.sh"])
        (folder / "pcs.xml").write_text(empty(wanted))
        (folder / "bin").mkdir()
        forced = FORCED.format(pcs=warm_pcs) if missing_agents(wanted) else f'#!/bin/sh\nexec {warm_pcs} "$@"\n'
        (folder / "bin/pcs").write_text(forced)
        (folder / "bin/pcs").chmod(0o755)
        by_shell(folder)
        return folder / "pcs.xml"

    with ThreadPoolExecutor() as pool:
        return dict(zip(description.TEMPLATES, pool.map(make, description.TEMPLATES)))


def by_shell(folder: Path) -> str:
    """Run cib.sh on the CIB beside it; return what it says."""
    return told("sh", f"{folder}/cib.sh", f"{folder}/pcs.xml", env={"PATH": f"{folder}/bin:{USUAL_PATH}"})


@pytest.fixture
def by_pcs(all_by_pcs, wanted) -> Path:
    """Return the CIB that pcs made of this example."""
    return all_by_pcs[description.template(wanted)]


@pytest.fixture(scope="module")
def by_crmsh(wanted, folder) -> Path:
    """Return the CIB that crmsh makes of an empty one with cib.crm."""
    need("crm")
    (folder / "cib.crm").write_text(render.render(wanted, "crmsh")["cib.crm"])
    made = folder / "crmsh.xml"
    made.write_text(empty(wanted))
    env = {"CIB_file": str(made), "HOME": str(folder)}
    told("crm", "-F", "configure", "load", "update", f"{folder}/cib.crm", env=env)
    return made


def meaning(text: str) -> dict[str, object]:
    """Return what a CIB says, by value: without the ids of what has no name of its own, and without order."""
    from kvmha.tools import cib as reader

    read = reader.read(text)
    assert read.unread == ()
    return {
        "properties": read.properties,
        "defaults": read.resource_defaults,
        "nodes": {node.name: (node.id, dict(node.attributes), dict(node.utilization)) for node in read.nodes},
        "resources": {each.id: of_resource(each) for each in read.walk()},
        "locations": {each.id: (each.resource, each.node, each.score, of_rules(each.rules)) for each in read.locations},
        "colocations": {each.id: (each.resource, each.with_resource, each.score) for each in read.colocations},
        "orders": {
            each.id: (each.first, each.first_action, each.then, each.then_action, each.kind or "Mandatory")
            for each in read.orders
        },
        "tickets": {each.id: (each.resource, each.ticket, each.loss_policy) for each in read.tickets},
        "levels": {(each.target, each.index): each.devices for each in read.levels},
        "alerts": {
            each.id: (each.path, dict(each.params), dict(each.meta), sorted(map(str, each.recipients)))
            for each in read.alerts
        },
    }


def of_resource(resource) -> tuple[object, ...]:
    operations = sorted((each.name, each.interval, each.timeout, each.role, sorted(each.options.items()))
                        for each in resource.operations)  # fmt: skip
    settings = (dict(resource.params), dict(resource.meta), dict(resource.utilization))
    children = [child.id for child in resource.children]
    return (resource.kind, resource.agent, *settings, operations, children)


def of_rules(rules) -> list[object]:
    return [(rule.score, rule.score_attribute, [dict(each.attributes) | {"id": ""} for each in rule.expressions])
            for rule in rules]  # fmt: skip


@pytest.mark.parametrize("tool", ["by_pcs", "by_crmsh"])
def test_every_tool_arrives_at_the_same_configuration(request, wanted, tool):
    made = request.getfixturevalue(tool).read_text()
    theirs, ours = meaning(made), meaning(render.cib_xml(wanted))
    for part, value in ours.items():
        assert theirs[part] == value, part


def test_crmsh_verifies_what_it_made(by_crmsh, folder, wanted):
    missing = missing_agents(wanted)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    env = {"CIB_file": str(by_crmsh), "HOME": str(folder)}
    done = HOST.run("crm", "configure", "verify", timeout=120, ok=None, env=env)
    assert (done.rc, [line for line in done.err.splitlines() if "lack of quorum" not in line]) == (0, [])


def test_a_second_run_changes_nothing(by_pcs):
    before = by_pcs.read_text()
    said = by_shell(by_pcs.parent)
    assert by_pcs.read_text() == before
    assert "guest web1 exists, left as it is" in said


def test_corosync_takes_the_configuration(wanted, tmp_path):
    need("corosync", "unshare", "hostname")
    # corosync looks for its own host in the list of nodes, so that it runs under the name of the first.
    (tmp_path / "authkey").write_bytes(bytes(256))
    conf = render.corosync_conf(wanted)
    conf = conf.replace("totem {", f"totem {{\n    keyfile: {tmp_path}/authkey", 1)
    (tmp_path / "corosync.conf").write_text(conf)
    script = 'hostname "$1" && exec corosync -t -c "$2"'
    told("unshare", "--uts", "sh", "-c", script, "sh", wanted.nodes[0].name, f"{tmp_path}/corosync.conf")


def test_pcs_writes_the_same_corosync_conf(wanted, warm_pcs, tmp_path):
    script = render.render(wanted)["pcs.sh"]
    words = re.search(r'pcs cluster setup "\$cluster" \\\n(.*?)>&2', script, re.DOTALL)[1]
    made = f"{tmp_path}/corosync.conf"
    told(
        str(warm_pcs), "cluster", "setup", wanted.cluster, *words.replace("\\\n", " ").split(), "--corosync_conf", made
    )
    if wanted.quorum.device:
        words = re.search(r"pcs quorum device add (.*?)>&2", script, re.DOTALL)[1]
        argv = ("quorum", "device", "add", *words.replace("\\\n", " ").split())
        # Without --force pcs asks the device's pcsd for its certificate; with a file it only writes.
        told(str(warm_pcs), "--corosync_conf", made, *argv)
    theirs = settings(Path(made).read_text())
    ours = settings(render.corosync_conf(wanted))
    # pcs gives a cluster an id of its own; two_node implies wait_for_all (votequorum(5)), which we write out.
    extra = {("quorum", "wait_for_all: 1")} if description.is_pair(wanted) else set()
    assert ours - theirs - {("quorum", "wait_for_all: 0")} == extra
    assert {line.split(":")[0] for _, line in theirs - ours} <= {"cluster_uuid"}


def settings(text: str) -> set[tuple[str, str]]:
    """Return the settings of a corosync.conf with the sections that they stand in; nodes by their number."""
    found, sections, node = set(), [], 0
    for line in map(str.strip, text.splitlines()):
        if line.endswith("{"):
            name = line[:-1].strip()
            node += name in ("node", "interface")
            sections.append(f"{name} {node}" if name in ("node", "interface") else name)
        elif line == "}":
            sections.pop()
        elif line and not line.startswith("#"):
            found.add((" ".join(sections), line))
    return found
