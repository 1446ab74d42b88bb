"""What is rendered: run by a shell, with a pcs that only writes down how it was called."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from kvmha.cli.main import main
from kvmha.cluster import description, render
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


class Shell:
    """A folder with rendered files, and a shell whose pcs and id are ours."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.folder = folder
        for name, text in files.items():
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
def example(checkout) -> str:
    """Return the three-node example."""
    return (checkout / "cluster-templates/three-node/cluster.yaml").read_text()


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
        "transport", "knet", "link_mode=passive", "totem", "token=3000", "token_coefficient=0",
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
        assert ["constraint", "location", f"fence-{node}", "avoids", node] in calls
    assert "stonith-enabled=true" in first(calls, "property", "set")


def test_a_guest_may_migrate_and_prefers_its_node_less_than_it_likes_to_stay(shell, example):
    calls = shell(example).cib_calls()
    assert first(calls, "resource", "create", "web1") == [
        "resource", "create", "web1", "ocf:kvmha:VirtualDomain", "config=/etc/kvmha/guests/web1.xml",
        "migration_transport=tcp", "op", "start", "timeout=90s", "op", "stop", "timeout=90s",
        "op", "monitor", "interval=10s", "timeout=30s", "op", "migrate_to", "timeout=120s",
        "op", "migrate_from", "timeout=60s", "meta", "allow-migrate=true",
    ]  # fmt: skip
    preference = next(call[-1] for call in calls if call[:3] == ["constraint", "location", "web1"])
    defaults = dict(word.split("=") for word in first(calls, "resource", "defaults", "update")[3:])
    assert preference == "n1=100"
    assert int(defaults["resource-stickiness"]) > 100


def test_an_address_follows_its_guest(shell, example):
    calls = shell(example).cib_calls()
    assert ["constraint", "colocation", "add", "vip-db1", "with", "db1"] in calls
    assert ["constraint", "order", "start", "db1", "then", "start", "vip-db1"] in calls


def test_what_the_cib_has_already_is_left_as_it_is(shell, example):
    calls = shell(example).cib_calls('<cib><primitive class="ocf" id="web1"/><lrm_resource id="web2"/></cib>')
    made = {call[2] for call in calls if call[:2] == ["resource", "create"]}
    assert made == {"web2", "db1", "vip", "vip-db1"}
    assert not [call for call in calls if call[:3] == ["constraint", "location", "web1"]]


def test_whatever_a_value_holds_reaches_pcs_as_one_word(shell, example):
    text = example.replace("password: kvmha", f"password: {json.dumps(NASTY, ensure_ascii=False)}", 1)
    text = text.replace("/etc/kvmha/guests/web1.xml", "/srv/my guests/it's; touch x.xml")
    calls = shell(text).cib_calls()
    assert f"password={NASTY}" in first(calls, "stonith", "create", "fence-n1")
    assert first(calls, "resource", "create", "web1")[4] == "config=/srv/my guests/it's; touch x.xml"


def test_with_two_nodes_one_side_of_a_split_fires_first(shell, checkout):
    there = shell((checkout / "cluster-templates/two-node/cluster.yaml").read_text())
    calls = there.cib_calls()
    assert "priority-fencing-delay=6s" in first(calls, "property", "set")
    assert first(calls, "resource", "create", "web1")[-2:] == ["allow-migrate=true", "priority=1"]
    delayed = [call[2] for call in calls if "pcmk_delay_base=3s" in call]
    assert delayed == ["fence-n1"]


@pytest.mark.parametrize(
    ("nodes", "quorum"),
    [
        pytest.param("two-node", ["provider: corosync_votequorum", "two_node: 1", "wait_for_all: 1"], id="two nodes"),
        pytest.param("three-node", ["provider: corosync_votequorum"], id="three nodes"),
    ],
)
def test_two_nodes_get_a_quorum_of_their_own(checkout, nodes, quorum):
    text = (checkout / f"cluster-templates/{nodes}/cluster.yaml").read_text()
    conf = render.render(description.read(text, "cluster.yaml"))["corosync.conf"]
    section = conf[conf.index("quorum {") :].split("}")[0].splitlines()[1:]
    assert [line.strip() for line in section if line.strip() and "#" not in line] == quorum


@pytest.mark.parametrize("name", ["pcs.sh", "cib.sh"])
def test_a_shell_that_knows_only_posix_can_read_it(tmp_path, example, name):
    (tmp_path / name).write_text(render.render(description.read(example, "cluster.yaml"))[name])
    try:
        Host().run("sh", "-n", f"{tmp_path}/{name}", timeout=10)
    except CommandFailed as error:
        pytest.fail(str(error))


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
    assert said["files"] == ["cib.sh", "corosync.conf", "pcs.sh"]
    assert said["run_on"] == "n1"
    assert stat.S_IMODE((tmp_path / "out/cib.sh").stat().st_mode) == 0o700
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*said["files"], render.MANIFEST}
    Host().run("sh", "-c", f"cd '{tmp_path}/out' && sha256sum -c {render.MANIFEST}", timeout=10)


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
    before = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    yaml.write_text(yaml.read_text().replace("cluster: demo", "cluster: other"))
    assert main(["cluster", "render", str(yaml), "--out", f"{tmp_path}/out"], FullDisk()) == 2
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == before
