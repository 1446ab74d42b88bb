"""What the drop-in for the cluster manager orders it after, and what the package's own units start."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from kvmha.cli import main

# Each of these has guests to serve as long as there are guests. The other modular daemons end when they are idle, and
# one that a stopping guest needs could not start while a unit stops that is ordered after it.
BUSY_WITH_GUESTS = {"libvirtd", "virtqemud", "virtlogd", "virtlockd"}


@pytest.fixture
def after(checkout: Path) -> set[str]:
    lines = (checkout / "cluster-templates/shared/systemd/pacemaker.conf").read_text(encoding="utf-8").splitlines()
    return {unit for line in lines if line.startswith("After=") for unit in line[len("After=") :].split()}


def test_the_cluster_manager_stops_before_the_daemons_that_have_the_guests(after):
    assert {f"{name}.service" for name in BUSY_WITH_GUESTS} <= after
    assert {"virt-guest-shutdown.target", "libvirt-guests.service", "remote-fs.target"} <= after


def test_no_daemon_that_may_have_to_start_during_a_stop_is_ordered(after):
    daemons = {unit for unit in after if unit.startswith(("virt", "libvirtd")) and unit.endswith(".service")}
    assert daemons == {f"{name}.service" for name in BUSY_WITH_GUESTS}


def test_the_sockets_of_all_daemons_outlive_the_cluster_manager(after):
    modular = {"qemu", "proxy", "log", "lock", "network", "storage", "nodedev", "secret", "nwfilter", "interface"}
    assert {"libvirtd.socket"} | {f"virt{name}d.socket" for name in modular} <= after


def units(checkout: Path, kind: str) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (checkout / "packaging/systemd").glob(f"*.{kind}")}


def test_every_unit_calls_a_verb_with_options_that_it_has(checkout):
    for text in units(checkout, "service").values():
        (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
        program, *words = shlex.split(line.partition("=")[2])
        assert program == "/usr/bin/kvmha"
        assert callable(main._parser(words).parse_args(words).handler)


def test_every_timer_has_its_service_and_only_the_trial_of_fencing_is_on_from_the_installation(checkout):
    timers, services = units(checkout, "timer"), units(checkout, "service")
    assert set(timers) <= set(services)
    assert all("WantedBy=timers.target" in text for text in timers.values())
    rules = (checkout / "packaging/debian/rules").read_text()
    assert all(f"packaging/systemd/*.{kind}" in rules for kind in ("service", "timer", "path"))
    assert "--no-enable --no-start" in rules
    linked = [line.split()[2] for line in rules.splitlines() if line.strip().startswith("ln -s")]
    assert linked == ["../kvmha-fence-prove.timer"]


def test_a_change_of_the_configuration_is_what_the_foretelling_waits_for(checkout):
    watched = units(checkout, "path")
    assert set(watched) == {"kvmha-rto"} <= set(units(checkout, "service"))
    assert "PathChanged=/var/lib/pacemaker/cib/cib.xml" in watched["kvmha-rto"]
    assert "/etc/kvmha/cluster.yaml" in units(checkout, "service")["kvmha-rto"].partition("ExecStart=/usr")[2]
