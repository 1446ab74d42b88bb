"""kvmha install-agents: links that the system's Python can follow, and nothing of others touched."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import run

import pytest

import kvmha
from kvmha.cli.main import main

LIBRARY = Path(kvmha.__file__).resolve().parent


def install(root: Path, *more: str) -> int:
    return main(["install-agents", "--root", str(root), *more])


def tree(root: Path) -> dict[str, str]:
    """Return every file and link below a folder with its text or target."""
    return {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_every_agent_and_handler_and_the_library_are_linked(tmp_path: Path, checkout: Path) -> None:
    assert install(tmp_path) == 0
    wanted = {f"usr/lib/ocf/resource.d/kvmha/{agent.name}": str(agent) for agent in (checkout / "agents").iterdir()}
    wanted.update({f"usr/lib/kvmha/{handler.name}": str(handler) for handler in (checkout / "handlers").iterdir()})
    wanted["usr/lib/ocf/lib/kvmha/kvmha"] = str(checkout / "kvmha")
    assert tree(tmp_path) == wanted


def test_a_second_time_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(tmp_path)
    agent = tmp_path / "usr/lib/ocf/resource.d/kvmha/VirtualDomain"
    before = agent.lstat()
    capsys.readouterr()
    assert install(tmp_path) == 0
    assert agent.lstat() == before
    assert capsys.readouterr().out == f"{tmp_path}/usr/lib/ocf: all links are there\n"


def test_a_linked_agent_runs_with_the_systems_python(tmp_path: Path) -> None:
    install(tmp_path, "--ocf-root", "/ocf")
    agent = tmp_path / "ocf/resource.d/kvmha/FloatingIP"
    done = run([agent, "meta-data"], capture_output=True, text=True, check=False, cwd="/", env={})
    assert done.stderr == ""
    assert '<resource-agent name="FloatingIP"' in done.stdout
    assert done.returncode == 0


def test_links_to_another_kvmha_are_renewed(tmp_path: Path) -> None:
    install(tmp_path)
    wanted = tree(tmp_path)
    agent = tmp_path / "usr/lib/ocf/resource.d/kvmha/VirtualDomain"
    agent.unlink()
    agent.symlink_to("/opt/gone/share/kvmha/agents/VirtualDomain")
    assert install(tmp_path) == 0
    assert tree(tmp_path) == wanted


@pytest.mark.parametrize("more", [pytest.param((), id="install"), pytest.param(("--remove",), id="remove")])
def test_foreign_files_are_named_and_nothing_is_changed(
    tmp_path: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "usr/lib/ocf/resource.d/kvmha"
    folder.mkdir(parents=True)
    (folder / "VirtualDomain").write_text("a package's")
    (folder / "FloatingIP").symlink_to("../heartbeat/IPaddr2")
    before = tree(tmp_path)
    assert install(tmp_path, *more) == 2
    assert tree(tmp_path) == before
    said = capsys.readouterr().err
    assert f"{folder}/VirtualDomain" in said
    assert f"{folder}/FloatingIP" in said
    assert "remove by hand or with its package" in said


def test_remove_leaves_no_trace_of_its_own(tmp_path: Path) -> None:
    install(tmp_path)
    other = tmp_path / "usr/lib/ocf/resource.d/heartbeat/IPaddr2"
    other.parent.mkdir()
    other.write_text("another's")
    assert install(tmp_path, "--remove") == 0
    assert tree(tmp_path) == {"usr/lib/ocf/resource.d/heartbeat/IPaddr2": "another's"}
    assert not (tmp_path / "usr/lib/ocf/resource.d/kvmha").exists()
    assert not (tmp_path / "usr/lib/ocf/lib/kvmha").exists()
    assert install(tmp_path, "--remove") == 0


def test_in_an_image_the_links_are_true_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "usr/share/kvmha/agents/VirtualDomain"
    monkeypatch.setattr("kvmha.cli.install_agents._shipped", lambda kind: [inside] if kind == "agents" else [])
    install(tmp_path)
    assert tree(tmp_path)["usr/lib/ocf/resource.d/kvmha/VirtualDomain"] == "/usr/share/kvmha/agents/VirtualDomain"
