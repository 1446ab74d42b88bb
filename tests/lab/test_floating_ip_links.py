"""ocf:kvmha:FloatingIP on links that the kernel of a test machine often lacks: in a node with a kernel of its own."""

from __future__ import annotations

import os

import pytest

from kvmha.host import Host
from kvmha.lab import package
from kvmha.lab.lab import Lab
from kvmha.lab.plan import make_plan
from tests.bench import address_cases

# What each agent's calls answer; tests/lab/floating_ip_cases.py says how the cases go.
WANTED = {
    "vlan on a bond": [0, 0, 190, 1, 0],
    "macvlan": [0, 0, 1, 0],
}


@pytest.fixture(scope="module")
def uml_lab():
    if os.geteuid() != 0:
        pytest.skip("a lab needs root")
    lab = Lab(Host(), make_plan(f"links-{os.getpid()}", nodes=2, kernel="uml"))
    try:
        lab.up(lambda _phase, _text: None, package=package.find(None), bare=True)
        yield lab
    finally:
        lab.down()


@pytest.mark.slow
@pytest.mark.parametrize("case", WANTED)
def test_a_link_lives_by_what_is_below_it(uml_lab, checkout, case):
    found = address_cases.act_out(uml_lab, "n1", "kvmha/FloatingIP", (case,), str(checkout / "tests"))
    assert found[case] == WANTED[case]
