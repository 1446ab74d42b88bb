"""Calls of the agent, as the tests of this folder make them."""

from __future__ import annotations

from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.resources.virtual_domain import VirtualDomain
from kvmha.resources.virtual_domain.remembered import FOLDER

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
OTHER = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a02"
CONFIG = "/etc/kvmha/guests/web1.xml"
REMEMBERED = f"{FOLDER}/web1"
TIMEOUTS = {"start": 90.0, "stop": 90.0, "monitor": 30.0, "migrate_from": 60.0}


class Killed(BaseException):
    """The agent is no more, in the middle of something."""


def definition(name="web1", uuid=UUID, more=""):
    """Return a domain definition as text."""
    return f"<domain type='kvm'><name>{name}</name>{uuid and f'<uuid>{uuid}</uuid>'}{more}</domain>"


def call(host, action, given=None, *, timeout=0.0, level=0, **params):
    """Run one action and return its code; it must keep to its time. ``given`` are all parameters, if not config."""
    timeout = timeout or TIMEOUTS.get(action, 20.0)
    begun = host.clock
    params = {**({"config": CONFIG} if given is None else given), **params}
    env = OcfEnv(action=action, instance="web1", timeout=timeout, params=params, check_level=level)
    code = perform(VirtualDomain, env, host)
    assert host.clock - begun <= timeout, f"{action} took {host.clock - begun} s of {timeout} s"
    return code


def reason(capfd):
    """Return the exit reason of the last call that gave one."""
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ocf-exit-reason:")]
    return lines[-1].partition(":")[2] if lines else ""
