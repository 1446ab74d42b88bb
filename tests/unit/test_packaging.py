"""What setup.cfg and packaging/ promise is what lies in the tree."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

import kvmha
from kvmha.cli.main import VERBS
from kvmha.lab.machine import COMMANDS


def setup(checkout: Path) -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(checkout / "setup.cfg", encoding="utf-8")
    return config


def data_files(checkout: Path) -> dict[str, list[str]]:
    """Return the patterns of each target folder; setup.cfg parts them by commas."""
    return {
        target: [pattern.strip() for pattern in patterns.split(",")]
        for target, patterns in setup(checkout)["options.data_files"].items()
    }


def test_every_agent_and_template_is_packaged(checkout: Path) -> None:
    packaged = {
        file for patterns in data_files(checkout).values() for pattern in patterns for file in checkout.glob(pattern)
    }
    rooms = [checkout / "agents", checkout / "cluster-templates"]
    files = {path for room in rooms for path in room.rglob("*") if path.is_file()}
    assert files
    assert files - packaged == set()


def test_a_file_lands_in_a_folder_of_its_own_name(checkout: Path) -> None:
    for target, patterns in data_files(checkout).items():
        if target.startswith("share/kvmha/"):
            assert {str(Path(pattern).parent) for pattern in patterns} == {target.partition("share/kvmha/")[2]}


def test_every_pattern_finds_a_file(checkout: Path) -> None:
    patterns = [pattern for patterns in data_files(checkout).values() for pattern in patterns]
    assert [pattern for pattern in patterns if not list(checkout.glob(pattern))] == []


def test_agents_are_executable_and_readable_by_everyone(checkout: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o555 for path in (checkout / "agents").iterdir()}
    assert set(modes.values()) == {0o555}


def test_agents_start_without_site_and_environment(checkout: Path) -> None:
    first_lines = {path.read_text().partition("\n")[0] for path in (checkout / "agents").iterdir()}
    assert first_lines == {"#!/usr/bin/python3 -IS"}


def test_the_version_stands_in_one_place(checkout: Path) -> None:
    assert setup(checkout)["metadata"]["version"] == "attr: kvmha.__version__"
    assert not (checkout / "packaging/debian/changelog").exists()
    assert kvmha.__version__ not in (checkout / "pyproject.toml").read_text()


def test_the_man_page_names_every_verb(checkout: Path) -> None:
    page = (checkout / "packaging/kvmha.8").read_text()
    assert [verb for verb in VERBS if f".B {verb}\n" not in page] == []


def test_scripts_are_executable(checkout: Path) -> None:
    scripts = ("dev", ".ci/run", "packaging/debian/rules")
    assert [name for name in scripts if not os.access(checkout / name, os.X_OK)] == []


def test_dev_installs_what_the_lab_starts(checkout: Path) -> None:
    always_there = {"coreutils", "util-linux"}
    lines = (checkout / "dev").read_text().partition("want_lab() {")[2].partition("}")[0].split()
    assert set(COMMANDS.values()) - always_there - set(lines) == set()


def test_the_daily_trial_of_fencing_is_on_and_switches_nothing(checkout: Path) -> None:
    rules = (checkout / "packaging/debian/rules").read_text()
    assert "timers.target.wants\n" in rules
    assert "ln -s ../kvmha-fence-prove.timer" in rules
    service = (checkout / "packaging/systemd/kvmha-fence-prove.service").read_text()
    assert "ExecStart=/usr/bin/kvmha fence prove --here\n" in service
    assert "OnCalendar=" in (checkout / "packaging/systemd/kvmha-fence-prove.timer").read_text()
