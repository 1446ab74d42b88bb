"""Who imports whom in kvmha/: read from the sources, held against the house rules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# A room is a folder of kvmha/ or a module beside them; it may import from itself and from these.
MAY_IMPORT = {
    "record": set(),
    "errors": set(),
    "host": {"record"},
    "policy": {"record"},
    "ocf": {"record", "host"},
    "tools": {"record", "host", "errors", "policy"},
    "alert": {"record", "host"},
    "journal": {"record", "host", "errors", "policy"},
    "resources": {"record", "host", "ocf", "policy", "tools", "alert", "journal"},
    "gather": {"record", "host", "errors", "policy", "tools", "cluster"},
    "cluster": {"record", "host", "errors", "policy", "tools"},
    "lab": {"record", "host", "errors", "policy", "tools", "cluster"},
    "whatif": {"record", "host", "errors", "policy", "tools", "gather", "cluster"},
    "drill": {"record", "host", "errors", "policy", "tools", "gather", "alert"},
    "observe": {"record", "host", "errors", "policy", "tools", "gather", "alert"},
    "cli": {
        "record", "host", "errors", "policy", "tools", "gather",
        "resources", "ocf", "cluster", "lab", "drill", "observe", "whatif", "alert", "journal",
    },
    "__main__": {"cli"},
}  # fmt: skip

# Modules of these rooms know nothing of each other: a tool is one foreign program, a resource is one agent.
STRANGERS = ("tools", "resources")

# Loaded by every monitor, many times a second.
HOT = {
    "kvmha.record", "kvmha.host",
    "kvmha.ocf.codes", "kvmha.ocf.env", "kvmha.ocf.spec", "kvmha.ocf.agent", "kvmha.ocf.report",
    "kvmha.ocf.state_file",
    "kvmha.policy.model", "kvmha.policy.promotion", "kvmha.policy.guest_state", "kvmha.policy.network",
    "kvmha.policy.peer_data", "kvmha.policy.replica",
    "kvmha.tools.crm_attribute", "kvmha.tools.drbd", "kvmha.tools.qemu_process", "kvmha.tools.rtnetlink",
    "kvmha.resources.drbd", "kvmha.resources.drbd.params", "kvmha.resources.drbd.looking",
    "kvmha.resources.drbd.knowledge", "kvmha.resources.drbd.scoring", "kvmha.resources.virtual_domain",
    "kvmha.resources.floating_ip", "kvmha.resources.floating_ip.params", "kvmha.resources.floating_ip.watching",
    "kvmha.resources.virtual_domain.params", "kvmha.resources.virtual_domain.remembered",
}  # fmt: skip
LIGHT = {"__future__", "os", "posix", "sys", "time", "select", "errno"}

IMPURE = {"os", "time", "subprocess", "datetime", "random", "socket", "pathlib", "shutil", "tempfile"}

ONLY_IN = {
    "libvirt": {"kvmha.tools.libvirtd.connection"},
    "libvirt_qemu": {"kvmha.tools.libvirtd"},
    "lxml": {"kvmha.tools.domain_xml", "kvmha.tools.cib"},
    "psutil": {"kvmha.tools.load"},
    **{name: {"kvmha.host"} for name in ("subprocess", "multiprocessing", "pty", "_posixsubprocess", "asyncio")},
}

# What starts or signals a process, as a prefix of the name in os, posix, signal or _signal.
STARTS_PROCESSES = (
    "system",
    "popen",
    "posix_spawn",
    "spawn",
    "exec",
    "fork",
    "kill",
    "pidfd_send",
    "pthread_kill",
)


class Import:
    """One imported module: by whom, in which line, and whether the import of the importer imports it too."""

    def __init__(self, module: str, line: int, target: str, *, early: bool) -> None:
        self.module, self.line, self.target, self.early = module, line, target, early

    def refused(self, why: str) -> str:
        return f"{self.module}:{self.line}: {self.target}: {why}"


def modules(root: Path) -> dict[str, ast.Module]:
    """Return the syntax tree of each module below a folder, by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


def imports(module: str, node: ast.AST, known: set[str], *, early: bool = True) -> Iterator[Import]:
    """Yield all imports of a module, whatever block they hide in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, child.lineno, alias.name, early=early)
        elif isinstance(child, ast.ImportFrom):
            # Relative imports are not written here; one shows as a module without a name, and is refused.
            source = child.module if child.module and not child.level else "."
            for alias in child.names:
                deeper = f"{source}.{alias.name}"
                yield Import(module, child.lineno, deeper if deeper in known else source, early=early)
        elif isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for part in child.body:
                yield from imports(module, ast.Module([part], []), known, early=False)
            for part in child.orelse:
                yield from imports(module, ast.Module([part], []), known, early=early)
        else:
            later = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imports(module, child, known, early=early and not later)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def wrong_direction(seen: Import) -> Iterator[str]:
    mine, theirs = room(seen.module), room(seen.target)
    if seen.target == ".":
        yield seen.refused("write the whole name of the module")
    elif seen.target.partition(".")[0] != "kvmha" or not theirs:
        return
    elif not mine:
        yield seen.refused("the package itself imports nothing")
    elif mine not in MAY_IMPORT:
        yield seen.refused(f"give the room {mine} its place in MAY_IMPORT")
    elif theirs != mine and theirs not in MAY_IMPORT[mine]:
        yield seen.refused(f"{mine} may not import {theirs}")
    elif theirs == mine and mine in STRANGERS and seen.target.split(".")[2:3] != seen.module.split(".")[2:3]:
        yield seen.refused(f"modules of {mine} do not import each other")


def wrong_library(seen: Import) -> Iterator[str]:
    top = seen.target.partition(".")[0]
    if top in ONLY_IN and seen.module not in ONLY_IN[top]:
        yield seen.refused(f"only {' and '.join(sorted(ONLY_IN[top]))} may")
    if room(seen.module) == "policy" and top in IMPURE:
        yield seen.refused("policy decides on values, and asks nothing of the machine")
    if seen.module in HOT and seen.early and seen.target not in LIGHT | HOT:
        yield seen.refused("a hot module imports it inside the action that needs it")


# The last two are files that run alone, without the package: one in a node, the other at the far end of its line.
MAY_START_PROCESSES = {"kvmha.host", "kvmha.lab.shell_service", "kvmha.lab.shell_client"}


def starts_processes(module: str, tree: ast.Module) -> Iterator[str]:
    """Yield each place outside host.py that names a function which starts or signals a process."""
    if module in MAY_START_PROCESSES:
        return
    doors = ("os", "posix", "signal", "_signal")
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in doors:
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and node.module in doors:
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith(STARTS_PROCESSES):
                yield f"{module}:{node.lineno}: {name}: only kvmha.host starts and signals processes"


def violations(root: Path) -> list[str]:
    trees = modules(root)
    found = []
    for module, tree in trees.items():
        for seen in imports(module, tree, set(trees)):
            found += [*wrong_direction(seen), *wrong_library(seen)]
        found += starts_processes(module, tree)
    return found


def small_tree(folder: Path, path: str, source: str) -> None:
    """Write a package with the module in question and one that it can import."""
    for name, text in (("tools/drbd.py", "import os"), (path, source)):
        file = folder / "kvmha" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


def test_imports_run_one_way(checkout: Path) -> None:
    assert violations(checkout / "kvmha") == []


def test_every_hot_resource_is_known(checkout: Path) -> None:
    folder = checkout / "kvmha/resources"
    resources = {f"kvmha.resources.{path.stem}" for path in (*folder.glob("[!_]*.py"), *folder.glob("[!_]*/"))}
    assert resources <= HOT


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        pytest.param("policy/quorum.py", "from kvmha.host import Host", "policy may not import host", id="upwards"),
        pytest.param("policy/quorum.py", "import time", "policy decides on values", id="policy-asks-the-clock"),
        pytest.param("tools/ip.py", "from kvmha.tools import drbd", "do not import each other", id="tool-imports-tool"),
        pytest.param(
            "resources/drbd.py",
            "def f():\n  import kvmha.cli.main",
            "may not import cli",
            id="inside-a-function",
        ),
        pytest.param("tools/rtnetlink.py", "import json", "inside the action", id="hot-and-heavy"),
        pytest.param(
            "tools/rtnetlink.py",
            "try:\n  import re\nexcept ImportError: pass",
            "inside the action",
            id="hot-in-a-block",
        ),
        pytest.param("record.py", "from kvmha.errors import UserError", "record may not import errors", id="record"),
        pytest.param("lab/nodes.py", "import subprocess", "only kvmha.host may", id="subprocess"),
        pytest.param("lab/nodes.py", "import os\nos.killpg(1, 9)", "only kvmha.host starts and signals", id="kill"),
        pytest.param("lab/nodes.py", "from os import execv", "only kvmha.host starts and signals", id="from-os"),
        pytest.param("cli/status.py", "import libvirt", "only kvmha.tools.libvirtd.connection may", id="libvirt"),
        pytest.param("cli/status.py", "from lxml import etree", "only kvmha.tools.cib and", id="lxml"),
        pytest.param("attic/box.py", "import kvmha.host", "give the room attic its place", id="unknown-room"),
        pytest.param("lab/nodes.py", "from .plan import Plan", "write the whole name", id="relative"),
        pytest.param("__init__.py", "import kvmha.host", "the package itself imports nothing", id="package"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, path: str, source: str, said: str) -> None:
    small_tree(tmp_path, path, source)
    assert any(said in sentence for sentence in violations(tmp_path / "kvmha"))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("tools/ip.py", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n  import typing", id="for-the-checker"),
        pytest.param("tools/ip.py", "def announce():\n  import json", id="inside-the-action"),
        pytest.param("host.py", "import os\nos.posix_spawn", id="host-starts-processes"),
        pytest.param("cli/status.py", "from kvmha import __version__", id="the-version"),
        pytest.param("resources/drbd.py", "from kvmha.tools import drbd", id="resource-uses-tool"),
    ],
)
def test_a_right_import_is_left_alone(tmp_path: Path, path: str, source: str) -> None:
    small_tree(tmp_path, path, source)
    assert violations(tmp_path / "kvmha") == []
