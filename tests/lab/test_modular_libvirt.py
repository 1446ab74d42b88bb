"""A node that is rebooted under libvirt's modular daemons: virtqemud, virtproxyd and the others instead of libvirtd."""

from __future__ import annotations

import os

import pytest

from kvmha.host import Host
from kvmha.lab import image, package
from kvmha.lab.lab import Lab
from kvmha.lab.plan import make_plan
from tests.lab import modular_libvirt
from tests.lab.conftest import Cluster
from tests.lab.test_node_shutdown import check_reboot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(modular_libvirt.BUILD_LIMIT + 900)]


SUITE = "bookworm"
IDLE = [f"{daemon}.service" for daemon in modular_libvirt.DAEMONS if daemon != "virtqemud"]


@pytest.fixture(scope="module")
def modular():
    """A cluster of Debian 12 in whose nodes libvirtd never ran; its logs are collected under build/lab/ at the end."""
    host = Host()
    try:
        folder = modular_libvirt.ensure(host, image.ensure(host, SUITE, quiet).root)
    except modular_libvirt.NotFetched as error:
        pytest.skip(f"Debian's source of libvirt, or what compiles it, could not be fetched: {error}")
    lab = Lab(host, make_plan(f"modular-{os.getpid()}", suite=SUITE))
    try:
        lab.up(quiet, package=package.find(None), bare=True)
        for node in lab.plan.nodes:
            modular_libvirt.switch(lab, node.name, folder)
        lab.up(quiet)
        yield Cluster(lab, host)
    finally:
        lab.collect_logs("build/lab/modular-libvirt")
        lab.down()


def quiet(_phase, _text):
    """Nobody watches a test."""


def test_the_guests_of_a_node_that_reboots_leave_before_virtqemud_goes(modular):
    for node in modular.nodes:
        assert modular.run(node, "systemctl", "is-active", "libvirtd.service", ok=None).out.strip() == "inactive"
        # What these daemons do by themselves when they were idle for two minutes; their sockets start them again.
        modular.run(node, "systemctl", "stop", *IDLE)
    check_reboot(modular, "virtqemud.service")
