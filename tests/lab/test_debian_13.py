"""The same cluster on Debian 13: Pacemaker 3, libvirt 11, Python 3.13."""

from __future__ import annotations

import os

import pytest

from kvmha.host import Host
from kvmha.lab.demo import Demo
from kvmha.lab.guest import CONFIG_FOLDER
from kvmha.lab.lab import Lab
from kvmha.lab.plan import make_plan
from tests.lab.test_contract_in_node import NEEDED, PYTEST_ARGV, copy_into

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trixie():
    """A lab of Debian 13; the logs of its nodes are collected under build/lab/ at the end."""
    lab = Lab(Host(), make_plan(f"trixie-{os.getpid()}", suite="trixie"))
    try:
        lab.up(lambda _phase, _text: None)
        yield lab
    finally:
        lab.collect_logs("build/lab/debian-13")
        lab.down()


def test_the_contract_tests_pass_with_the_tools_of_debian_13_and_none_is_skipped(trixie, checkout):
    copy_into(f"/proc/{trixie.leader('n1')}/root", str(checkout))
    done = trixie.run("n1", *PYTEST_ARGV, *NEEDED, timeout=600, ok=None)
    assert done.rc == 0, done.out[-6000:] + done.err
    assert " passed" in done.out
    assert "SKIPPED" not in done.out


def test_ocf_tester_of_debian_13_is_content_with_virtual_domain(trixie):
    # A guest of its own: the cluster knows nothing of it.
    change = "s/web1/tester/; s/<uuid>.*</<uuid>5a5e7e57-0c1b-4b6f-9d3e-5f7c2f6b1a01</; s/6b:00:/6b:02:/"
    config = "/root/tester.xml"
    trixie.run("n1", "sh", "-c", f"sed '{change}' {CONFIG_FOLDER}/web1.xml > {config}", timeout=20)
    done = trixie.run(
        "n1", "ocf-tester", "-v", "-n", "tester", "-o", f"config={config}", "-o", "force_stop=true",
        "/usr/lib/ocf/resource.d/kvmha/VirtualDomain", timeout=300, ok=None,
    )  # fmt: skip
    assert done.rc == 0, done.out + done.err


def test_everything_comes_back_after_a_power_cut_on_debian_13(trixie):
    outcome = Demo(trixie.host, trixie, lambda _text: None, lambda _moment, _cut: None).run()
    assert outcome.is_good, outcome
