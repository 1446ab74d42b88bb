"""The tables and man pages that are made from the agents' tables."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess

import pytest

from kvmha.ocf import manual
from kvmha.ocf.agent import Agent
from kvmha.ocf.spec import Action, Param
from kvmha.resources.floating_ip import FloatingIP
from kvmha.resources.virtual_domain import VirtualDomain

# The parameters of ocf:heartbeat:VirtualDomain, from its meta-data (resource-agents 4.18).
HEARTBEAT = (
    "config", "hypervisor", "force_stop", "migration_transport", "migration_user", "migration_downtime",
    "migration_speed", "migration_network_suffix", "migrateuri", "migrate_options", "monitor_scripts",
    "autoset_utilization_cpu", "autoset_utilization_host_memory", "autoset_utilization_hv_memory",
    "unset_utilization_cpu", "unset_utilization_host_memory", "unset_utilization_hv_memory", "migrateport",
    "remoteuri", "save_config_on_stop", "sync_config_on_stop", "snapshot", "backingfile", "stateless",
    "copyindirs", "shutdown_mode", "start_resources",
)  # fmt: skip


class Example(Agent):
    """An agent whose texts hold what roff and Markdown would read as their own."""

    name = "Example"
    shortdesc = "Shows -dashes"
    longdesc = """
    First paragraph.

    .second paragraph with a \\ in it
    """
    params = (
        Param(name="mode", choices=("", "a", "b"), shortdesc="s", longdesc="Either a|b."),
        Param(name="count", kind="integer", minimum=1, maximum=9, default="3", shortdesc="s", longdesc="How many."),
        Param(name="who", required=True, identity=True, shortdesc="s", longdesc="Whom."),
    )
    actions = (Action(name="monitor", timeout=20, interval=10, depth=10), Action(name="stop", timeout=30))


@pytest.fixture(scope="module")
def pages(checkout):
    path = str(checkout / "packaging" / "pages")
    loader = importlib.machinery.SourceFileLoader("pages", path)
    spec = importlib.util.spec_from_loader("pages", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_a_row_says_values_bounds_default_and_what_a_change_does():
    text = manual.markdown(Example)
    assert "| `mode` | (empty) \\| a \\| b | Either a\\|b. |" in text
    assert "| `count` | integer, from 1 to 9, default 3 | How many. |" in text
    assert "| `who` | string, required, a change restarts the resource | Whom. |" in text
    assert "| monitor depth 10 | timeout 20 s, every 10 s |" in text
    assert "| stop | timeout 30 s |" in text


def test_roff_takes_nothing_of_a_text_for_its_own():
    page = manual.man(Example, version="1.2")
    assert "\n\\&.second paragraph with a \\e in it\n" in page
    assert "Shows \\-dashes" in page


@pytest.mark.skipif(not shutil.which("man"), reason="needs man(1)")
@pytest.mark.parametrize("agent", [VirtualDomain, FloatingIP, Example])
def test_man_reads_the_page_without_a_warning(agent, tmp_path):
    path = tmp_path / "page.7"
    path.write_text(manual.man(agent, version="1.2"))
    done = subprocess.run(
        ["man", "--warnings", "--local-file", str(path)],
        capture_output=True, text=True, timeout=30, check=True, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100"},
    )  # fmt: skip
    assert done.stderr == ""
    assert all(param.name in done.stdout for param in agent.params)


def test_the_pages_in_docs_show_the_tables_as_they_are_now(checkout, pages):
    """Where this fails, `packaging/pages docs` writes them anew."""
    shown = 0
    for name, agent in pages.AGENTS.items():
        page = checkout / "docs" / f"{name}.md"
        if page.exists():
            shown += 1
            assert page.read_text() == pages.with_tables(page.read_text(), agent)
    assert shown


def test_every_parameter_that_switchers_know_is_spoken_of(checkout):
    page = (checkout / "docs" / "virtual-domain.md").read_text().partition("## Coming from")[2]
    assert [name for name in HEARTBEAT if f"`{name}`" not in page] == []
