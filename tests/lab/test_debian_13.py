"""The same cluster on Debian 13: Pacemaker 3, libvirt 11, Python 3.13."""

from __future__ import annotations

import os

import pytest

from kvmha.host import Host
from kvmha.lab.demo import Demo
from kvmha.lab.lab import Lab
from kvmha.lab.plan import make_plan


@pytest.mark.slow
def test_everything_comes_back_after_a_power_cut_on_debian_13():
    host = Host()
    lab = Lab(host, make_plan(f"trixie-{os.getpid()}", suite="trixie"))
    try:
        lab.up(lambda _phase, _text: None)
        outcome = Demo(host, lab, lambda _text: None, lambda _moment, _cut: None).run()
        assert outcome.is_good, outcome
    except BaseException:
        lab.collect_logs("build/lab/debian-13")
        raise
    finally:
        lab.down()
