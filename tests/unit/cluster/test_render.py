"""What is rendered: run by a shell, with a pcs that only writes down how it was called."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from kvmha.cli.main import main
from kvmha.cluster import description, folder, render
from kvmha.host import CommandFailed, Completed, Host

# A NUL ends each argument and a record separator each call, for no argument holds these.
PCS = """#!/bin/sh
printf '%s\\0' "$@" >>"$CALLS"
printf '\\036' >>"$CALLS"
case $1.$2 in
    host.auth) cat >"$CALLS.stdin" ;;
    cluster.cib) echo '<cib/>' >"$3" ;;
    cluster.config) echo "Cluster Name: ${EXISTING:-other}" ;;
    cluster.setup) exit "${SETUP:-0}" ;;
esac
"""

NASTY = 'it\'s "a" $(reboot) `reboot` $HOME; \\ * # & | é'


EXAMPLE = """\
cluster: demo
nodes:
  - name: n1
    addresses: [10.77.0.11, 10.77.1.11]
    fencing: {agent: fence_ipmilan, options: {ip: 10.77.9.11, username: kvmha, password: kvmha}}
  - name: n2
    addresses: [10.77.0.12, 10.77.1.12]
    fencing: {agent: fence_ipmilan, options: {ip: 10.77.9.12, username: kvmha, password: kvmha}}
  - name: n3
    addresses: [10.77.0.13, 10.77.1.13]
    fencing: {agent: fence_ipmilan, options: {ip: 10.77.9.13, username: kvmha, password: kvmha}}
guests:
  - {name: web1, config: /etc/kvmha/guests/web1.xml, prefers: n1, options: {migration_transport: tcp}}
  - {name: web2, config: /etc/kvmha/guests/web2.xml, prefers: n2}
  - {name: db1, config: /etc/kvmha/guests/db1.xml, prefers: n3}
floating_ips:
  - {name: vip, ip: 10.77.0.100, cidr_netmask: 24, nic: br0, prefers: n1}
  - {name: vip-db1, ip: 10.77.0.101, cidr_netmask: 24, nic: br0, follows: db1}
"""


class Shell:
    """A folder with rendered files, and a shell whose pcs and id are ours."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.folder = folder
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        (folder / "bin").mkdir()
        for name, text in {"pcs": PCS, "id": "#!/bin/sh\necho ${AS:-0}\n"}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> Completed:
        """Run a script; give PATH and environment as the script needs them."""
        (self.folder / "calls").write_text("")
        path = f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {"PATH": path, "CALLS": f"{self.folder}/calls", **environment}
        return Host().run("sh", f"{self.folder}/{script}", *arguments, timeout=60, ok=None, env=env)

    def calls(self) -> list[list[str]]:
        """Return what pcs was given, call by call."""
        return [call.split("\0")[:-1] for call in (self.folder / "calls").read_text().split("\036")[:-1]]

    def cib_calls(self, text: str = "<cib/>") -> list[list[str]]:
        """Run cib.sh on a CIB of this text; return the calls without the `-f FILE` that each begins with."""
        cib = self.folder / "a cib.xml"
        cib.write_text(text)
        assert self.run("cib.sh", str(cib)).rc == 0
        assert {tuple(call[:2]) for call in self.calls()} == {("-f", str(cib))}
        return [call[2:] for call in self.calls()]


@pytest.fixture
def example() -> str:
    """Return a cluster of three nodes with little in it."""
    return EXAMPLE


@pytest.fixture
def shell(tmp_path):
    """Return a function that renders a text and hands out a shell beside it."""

    def made(text: str) -> Shell:
        return Shell(tmp_path, render.render(description.read(text, "cluster.yaml")))

    return made


def first(calls: list[list[str]], *words: str) -> list[str]:
    """Return the first call that begins with these words."""
    return next(call for call in calls if call[: len(words)] == list(words))


def test_pcs_is_called_in_the_order_that_makes_a_cluster(shell, example):
    there = shell(example)
    done = there.run("pcs.sh", HACLUSTER_PASSWORD=NASTY)
    assert done.rc == 0, done.err
    verbs = [call[:2] for call in there.calls() if call[0] != "-f"]
    assert verbs == [
        ["host", "auth"], ["cluster", "config"], ["cluster", "setup"], ["cluster", "enable"],
        ["cluster", "start"], ["cluster", "cib"], ["cluster", "cib-push"],
    ]  # fmt: skip
    assert first(there.calls(), "cluster", "setup")[2:] == [
        "demo", "n1", "addr=10.77.0.11", "addr=10.77.1.11", "n2", "addr=10.77.0.12", "addr=10.77.1.12",
        "n3", "addr=10.77.0.13", "addr=10.77.1.13",
        "transport", "knet", "link_mode=passive",
        "link", "linknumber=0", "ping_interval=260", "ping_timeout=520", "pong_count=2",
        "link", "linknumber=1", "ping_interval=260", "ping_timeout=520", "pong_count=2",
        "crypto", "cipher=aes256", "hash=sha256", "totem", "token=1300", "token_coefficient=0", "consensus=1560",
    ]  # fmt: skip
    before = first(there.calls(), "cluster", "cib")[2]
    assert first(there.calls(), "cluster", "cib-push")[3] == f"diff-against={before}"
    assert not Path(before).exists()


def test_the_password_is_given_on_standard_input_and_nowhere_else(shell, example):
    there = shell(example)
    there.run("pcs.sh", HACLUSTER_PASSWORD=NASTY)
    assert (there.folder / "calls.stdin").read_text() == NASTY + "\n"
    assert first(there.calls(), "host", "auth")[2:] == [
        "n1", "addr=10.77.0.11", "n2", "addr=10.77.0.12", "n3", "addr=10.77.0.13", "-u", "hacluster",
    ]  # fmt: skip
    assert NASTY not in (there.folder / "calls").read_text()


def test_each_step_is_one_line(shell, example):
    assert shell(example).run("pcs.sh", HACLUSTER_PASSWORD="x").out.splitlines() == [
        "authenticate the nodes to each other",
        "set up the cluster demo",
        "start the cluster at boot",
        "start the cluster and wait for its nodes",
        "cluster properties",
        "resource defaults",
        *(f"fence device fence-n{n}" for n in (1, 2, 3)),
        *(f"guest {name}" for name in ("web1", "web2", "db1")),
        *(f"floating IP {name}" for name in ("vip", "vip-db1")),
        "hand the configuration to the cluster",
        "cluster demo is configured",
    ]


def test_a_cluster_that_is_set_up_is_not_set_up_again(shell, example):
    there = shell(example)
    done = there.run("pcs.sh", HACLUSTER_PASSWORD="x", EXISTING="demo")
    assert done.rc == 0
    assert "cluster demo is set up already" in done.out
    assert ["cluster", "setup"] not in [call[:2] for call in there.calls()]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({"HACLUSTER_PASSWORD": "x", "AS": "1000"}, "run it as root", id="who is not root is told so"),
        pytest.param({}, "set HACLUSTER_PASSWORD", id="who gave no password is told so"),
    ],
)
def test_pcs_is_not_called_without_what_it_needs(shell, example, environment, said):
    there = shell(example)
    done = there.run("pcs.sh", **environment)
    assert (done.rc, done.err.startswith(f"pcs.sh: {said}"), there.calls()) == (2, True, [])


def test_nothing_follows_a_setup_that_pcs_refused(shell, example):
    there = shell(example)
    done = there.run("pcs.sh", HACLUSTER_PASSWORD="x", SETUP="1")
    assert (done.rc, there.calls()[-1][:2]) == (2, ["cluster", "setup"])
    assert "pcs cluster destroy" in done.err


def test_each_node_has_a_fence_device_that_runs_elsewhere(shell, example):
    calls = shell(example).cib_calls()
    for node in ("n1", "n2", "n3"):
        device = first(calls, "stonith", "create", f"fence-{node}")
        assert device[3:5] == ["fence_ipmilan", f"pcmk_host_list={node}"]
        assert ["constraint", "location", "add", f"fence-{node}-not-on-{node}", f"fence-{node}", node,
                "--", "-INFINITY"] in calls  # fmt: skip
    assert "stonith-enabled=true" in first(calls, "property", "set")


def test_a_guest_may_migrate_and_prefers_its_node_less_than_it_likes_to_stay(shell, example):
    calls = shell(example).cib_calls()
    assert first(calls, "resource", "create", "web1") == [
        "resource", "create", "web1", "ocf:kvmha:VirtualDomain", "config=/etc/kvmha/guests/web1.xml",
        "migration_transport=tcp", "op", "start", "timeout=90s", "op", "stop", "timeout=90s",
        "op", "migrate_to", "timeout=120s", "on-fail=block", "op", "migrate_from", "timeout=60s",
        "op", "monitor", "interval=10s", "timeout=30s", "meta", "allow-migrate=true", "priority=1",
        "--no-default-ops",
    ]  # fmt: skip
    defaults = dict(word.split("=") for word in first(calls, "resource", "defaults", "update")[3:])
    assert first(calls, "constraint", "location", "add", "web1-prefers-n1")[4:] == ["web1", "n1", "100"]
    assert int(defaults["resource-stickiness"]) > 100


def test_an_address_follows_its_guest(shell, example):
    calls = shell(example).cib_calls()
    assert ["constraint", "colocation", "add", "vip-db1", "with", "db1", "INFINITY", "id=vip-db1-with-db1"] in calls
    assert ["constraint", "order", "start", "db1", "then", "start", "vip-db1", "id=db1-then-vip-db1"] in calls


def test_what_the_cib_has_already_is_left_as_it_is(shell, example):
    calls = shell(example).cib_calls('<cib><primitive class="ocf" id="web1"/><lrm_resource id="web2"/></cib>')
    made = {call[2] for call in calls if call[:2] == ["resource", "create"]}
    assert made == {"web2", "db1", "vip", "vip-db1"}
    assert not [call for call in calls if "web1" in call]


def test_whatever_a_value_holds_reaches_pcs_as_one_word(shell, example):
    text = example.replace("password: kvmha", f"password: {json.dumps(NASTY, ensure_ascii=False)}", 1)
    text = text.replace("/etc/kvmha/guests/web1.xml", '"/srv/my guests/it\'s; touch x.xml"')
    calls = shell(text).cib_calls()
    assert f"password={NASTY}" in first(calls, "stonith", "create", "fence-n1")
    assert first(calls, "resource", "create", "web1")[4] == "config=/srv/my guests/it's; touch x.xml"


def test_with_two_nodes_one_side_of_a_split_fires_first(shell, checkout):
    there = shell((checkout / "cluster-templates/two-node/cluster.yaml").read_text())
    calls = there.cib_calls()
    assert "priority-fencing-delay=4s" in first(calls, "property", "set")
    assert "priority=10" in first(calls, "resource", "create", "db1")
    delayed = [call[2] for call in calls if "pcmk_delay_base=n1:2s" in call]
    assert delayed == ["fence-n1"]


@pytest.mark.parametrize(("most", "begins"), [(1000, 100), (40, 40)])
def test_a_resynchronisation_takes_what_the_link_has_from_its_start(checkout, most, begins):
    text = (checkout / "cluster-templates/two-node/cluster.yaml").read_text()
    text = text.replace("max_rate: 100\n", f"max_rate: {most}\n")
    written = render.render(description.read(text, "cluster.yaml"))["drbd/global_common.conf"]
    words = {line.split()[0]: line.split()[1] for line in written.splitlines() if line.endswith(";")}
    assert (words["resync-rate"], words["c-max-rate"]) == (f"{begins}M;", f"{most}M;")
    assert words["c-plan-ahead"] != "0;", "the controller that makes way for the guests is off"


@pytest.mark.parametrize(
    ("nodes", "quorum"),
    [
        pytest.param("two-node", ["provider: corosync_votequorum", "two_node: 1", "wait_for_all: 1"], id="two nodes"),
        pytest.param("three-node", ["provider: corosync_votequorum"], id="three nodes"),
        pytest.param(
            "two-node-qdevice",
            [
                "provider: corosync_votequorum",
                "device {",
                "model: net",
                "timeout: 4000",
                "sync_timeout: 12000",
                "votes: 1",
                "net {",
                "host: 10.77.9.5",
                "port: 5403",
                "algorithm: ffsplit",
                "tie_breaker: lowest",
            ],
            id="a quorum device",
        ),
    ],
)
def test_every_form_of_cluster_gets_a_quorum_of_its_own(checkout, nodes, quorum):
    text = (checkout / f"cluster-templates/{nodes}/cluster.yaml").read_text()
    conf = render.render(description.read(text, "cluster.yaml"))["corosync.conf"]
    section = conf[conf.index("quorum {") :].split("}")[0].splitlines()[1:]
    assert [line.strip() for line in section if line.strip() and "#" not in line] == quorum


@pytest.mark.parametrize("flavour", render.FLAVOURS)
@pytest.mark.parametrize("name", description.TEMPLATES)
def test_a_shell_that_knows_only_posix_can_read_every_script(tmp_path, checkout, name, flavour):
    wanted = description.load(Host(), str(checkout / f"cluster-templates/{name}/cluster.yaml"))
    files = render.render(wanted, flavour)
    for script in (script for script in files if script.endswith(".sh")):
        path = tmp_path / script.replace("/", "-")
        path.write_text(files[script])
        try:
            Host().run("sh", "-n", str(path), timeout=10)
        except CommandFailed as error:
            pytest.fail(str(error))


@pytest.mark.parametrize("flavour", render.FLAVOURS)
@pytest.mark.parametrize("name", description.TEMPLATES)
def test_every_file_says_where_it_comes_from_and_ends_with_a_line(checkout, name, flavour):
    wanted = description.load(Host(), str(checkout / f"cluster-templates/{name}/cluster.yaml"))
    for file, text in render.render(wanted, flavour).items():
        # Of the hosts file only its lines are taken over; that of pacemaker.service is the package's own.
        if file not in ("hosts", "systemd/pacemaker.conf"):
            assert "kvmha wrote this" in text, file
        assert text.endswith("\n"), file
        assert "\n\n\n" not in text, file


def kvmha(*words: object) -> int:
    """Run the verb; return its exit code."""
    return main(["cluster", "render", *map(str, words)])


@pytest.fixture
def yaml(tmp_path, example) -> Path:
    """Return the example as a file of its own."""
    path = tmp_path / "cluster.yaml"
    path.write_text(example)
    return path


def test_the_verb_writes_the_files_and_hides_the_passwords(tmp_path, yaml, capsys):
    assert kvmha(yaml, "--out", tmp_path / "out", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert {"cib.sh", "cib.xml", "corosync.conf", "pcs.sh", "node.sh", "README.md"} <= {*said["files"]}
    assert (said["run_on"], said["run"]) == ("n1", "pcs.sh")
    out = tmp_path / "out"
    modes = {name: stat.S_IMODE((out / name).stat().st_mode) for name in said["files"]}
    assert (modes["cib.sh"], modes["cib.xml"], modes["pcs.sh"], modes["corosync.conf"]) == (0o700, 0o600, 0o755, 0o644)
    assert [name for name in said["files"] if "kvmha" in (out / name).read_text() and modes[name] & 0o077
            and "password" in (out / name).read_text().replace("hacluster", "").lower()
            and "=kvmha" in (out / name).read_text()] == []  # fmt: skip
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {*said["files"], folder.MANIFEST}
    Host().run("sh", "-c", f"cd '{out}' && sha256sum -c {folder.MANIFEST}", timeout=10)


@pytest.mark.parametrize(
    ("flavour", "there", "run"),
    [
        pytest.param("pcs", {"pcs.sh", "cib.sh"}, "pcs.sh", id="pcs"),
        pytest.param("crmsh", {"crmsh.sh", "cib.crm"}, "crmsh.sh", id="crmsh"),
        pytest.param("cib", {"load.sh"}, "load.sh", id="Pacemaker's own tools"),
    ],
)
def test_a_flavour_has_its_own_files_and_not_those_of_others(tmp_path, yaml, capsys, flavour, there, run):
    assert kvmha(yaml, "--out", tmp_path / "out", "--flavour", flavour, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    own = {name for names in render.FLAVOURS.values() for name in names}
    assert ({*said["files"]} & own, said["run"]) == (there, run)


def test_another_flavour_takes_the_place_of_the_first(tmp_path, yaml, capsys):
    assert kvmha(yaml, "--out", tmp_path / "out") == 0
    assert kvmha(yaml, "--out", tmp_path / "out", "--flavour", "cib") == 0
    assert not (tmp_path / "out/pcs.sh").exists()
    yaml.write_text(yaml.read_text().replace("guests:", "hosts: {firewall: no}\nguests:"))
    assert kvmha(yaml, "--out", tmp_path / "out", "--flavour", "cib") == 0
    assert not (tmp_path / "out/nftables").exists()


def test_a_wrong_description_leaves_nothing_behind(tmp_path, yaml, capsys):
    yaml.write_text("cluster: demo\n")
    assert kvmha(yaml, "--out", tmp_path / "out") == 2
    assert f"{yaml}:1: nodes: missing; expected a list of nodes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_former_rendering_is_replaced(tmp_path, yaml, capsys):
    assert kvmha(yaml, "--out", tmp_path / "out") == 0
    yaml.write_text(yaml.read_text().replace("cluster: demo", "cluster: other"))
    assert kvmha(yaml, "--out", tmp_path / "out") == 0
    assert "cluster=other\n" in (tmp_path / "out/pcs.sh").read_text()


def test_a_rendering_that_somebody_changed_is_kept(tmp_path, yaml, capsys):
    assert kvmha(yaml, "--out", tmp_path / "out") == 0
    (tmp_path / "out/cib.sh").write_text("mine")
    assert kvmha(yaml, "--out", tmp_path / "out") == 2
    assert f"{tmp_path}/out/cib.sh was changed after it was rendered" in capsys.readouterr().err
    assert (tmp_path / "out/cib.sh").read_text() == "mine"


def test_a_folder_of_other_things_is_kept(tmp_path, yaml, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes").write_text("mine")
    assert kvmha(yaml, "--out", tmp_path / "out") == 2
    assert f"{tmp_path}/out holds notes, which is no former rendering" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes"]


def test_a_file_in_place_of_the_folder_is_kept(tmp_path, yaml, capsys):
    assert kvmha(yaml, "--out", yaml) == 2
    assert f"{yaml} is a file" in capsys.readouterr().err


class FullDisk(Host):
    """A host whose disk is full once the first file is written."""

    written = 0

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write the first file, and refuse all others."""
        if self.written:
            raise OSError(28, "No space left on device", path)
        self.written += 1
        super().write(path, text, mode)


def test_a_full_disk_leaves_no_half_of_a_rendering(tmp_path, yaml, capsys):
    assert main(["cluster", "render", str(yaml), "--out", f"{tmp_path}/out"], FullDisk()) == 2
    assert f"cannot write {tmp_path}/out: No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_a_former_rendering_whole(tmp_path, yaml, capsys):
    assert kvmha(yaml, "--out", tmp_path / "out") == 0
    before = content(tmp_path / "out")
    yaml.write_text(yaml.read_text().replace("cluster: demo", "cluster: other"))
    assert main(["cluster", "render", str(yaml), "--out", f"{tmp_path}/out"], FullDisk()) == 2
    assert content(tmp_path / "out") == before


def content(folder: Path) -> dict[str, str]:
    """Return what is below a folder, folders as well."""
    return {str(path): path.read_text() if path.is_file() else "" for path in folder.rglob("*")}
