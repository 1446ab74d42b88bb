"""The guest's processors and memory, written for the cluster's placement."""

from __future__ import annotations

import pytest

from kvmha.host import CommandMissing, CommandTimeout
from kvmha.ocf import codes
from kvmha.ocf.env import OcfEnv
from kvmha.resources.virtual_domain import VirtualDomain, utilization
from tests.fakes import HANGS, REFUSES
from tests.unit.resources.virtual_domain.calls import CONFIG, call

ROWS = [
    ("autoset_utilization_cpu", "cpu", "2"),
    ("autoset_utilization_host_memory", "host_memory", "256"),
    ("autoset_utilization_hv_memory", "hv_memory", "256"),
]
READ = "crm_resource --quiet --resource web1 --utilization --get-parameter"
WRITE = "crm_resource --quiet --resource web1 --utilization --set-parameter"


def read(name):
    return (*READ.split(), name)


def write(name, value):
    return (*WRITE.split(), name, "--parameter-value", value)


def asked(host):
    return [argv for argv in host.ran if argv[0] == "crm_resource"]


@pytest.fixture(autouse=True)
def _cluster(host, config):
    for _, name, value in ROWS:
        # As Pacemaker 2.1.5 says it.
        host.commands[read(name)] = (0, f"Attribute '{name}' not found for 'web1'\n", "")
        host.commands[write(name, value)] = ""


@pytest.mark.parametrize(("param", "name", "value"), ROWS)
class TestEach:
    """Each of the three parameters."""

    def test_it_is_written_at_a_start(self, host, libvirt, param, name, value):
        assert call(host, "start", **{param: "true"}) == codes.SUCCESS
        assert asked(host) == [read(name), write(name, value)]

    def test_it_is_not_written_again_if_it_is_the_same(self, host, libvirt, param, name, value):
        host.commands[read(name)] = f"{value}\n"
        assert call(host, "start", **{param: "true"}) == codes.SUCCESS
        assert asked(host) == [read(name)]

    @pytest.mark.parametrize("there", [(0, "7\n", ""), (105, "", "No such object"), (102, "", "Not connected")])
    def test_another_value_is_replaced(self, host, libvirt, param, name, value, there):
        host.commands[read(name)] = there
        assert call(host, "start", **{param: "true"}) == codes.SUCCESS
        assert asked(host) == [read(name), write(name, value)]

    def test_it_is_off_by_default_and_no_business_of_monitor_and_stop(self, host, libvirt, param, name, value):
        assert call(host, "start") == codes.SUCCESS
        assert call(host, "monitor", **{param: "true"}) == codes.SUCCESS
        assert call(host, "stop", **{param: "true"}) == codes.SUCCESS
        assert asked(host) == []

    @pytest.mark.parametrize("failure", [CommandMissing, CommandTimeout, (1, "", "no quorum")])
    @pytest.mark.parametrize("which", ["read", "write"])
    def test_a_failure_is_logged_and_fails_nothing(self, host, libvirt, param, name, value, failure, which, log):
        if which == "write" or failure == (1, "", "no quorum"):
            host.commands[write(name, value)] = failure
        else:
            host.commands[read(name)] = failure
        assert call(host, "start", **{param: "true"}) == codes.SUCCESS
        assert any("could not write the utilization of web1" in line for line in log)


@pytest.mark.parametrize("trouble", [HANGS, REFUSES])
def test_a_libvirt_that_does_not_tell_fails_nothing(host, libvirt, trouble):
    libvirt.trouble["size"] = trouble
    assert call(host, "start", autoset_utilization_cpu="1") == codes.SUCCESS
    assert asked(host) == []


def test_the_instance_of_a_clone_writes_for_its_clone(host, libvirt):
    libvirt.run_guest()
    params = {"config": CONFIG, "autoset_utilization_cpu": "1"}
    agent = VirtualDomain(OcfEnv(action="start", instance="web1:0", timeout=60.0, params=params), host)
    utilization.write(agent, agent.guest(), agent.libvirt())
    assert asked(host) == [read("cpu"), write("cpu", "2")]


def test_it_is_not_begun_when_no_time_is_left(host, libvirt, log):
    libvirt.run_guest()
    params = {"config": CONFIG, "autoset_utilization_cpu": "1"}
    agent = VirtualDomain(OcfEnv(action="start", instance="web1", timeout=20.0, params=params), host)
    host.sleep(16.0)
    utilization.write(agent, agent.guest(), agent.libvirt())
    assert asked(host) == []
    assert any("no time is left" in line for line in log)
