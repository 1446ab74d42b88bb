"""The parameters of a move: the order that they make, and what is wrong with them."""

from __future__ import annotations

import pytest

from kvmha.ocf import codes
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.resources.virtual_domain import VirtualDomain, migration_order
from tests.unit.resources.virtual_domain.calls import CONFIG, call, reason


def agent(host, **params):
    env = OcfEnv(action="migrate_to", instance="web1", params={"config": CONFIG, **params})
    return VirtualDomain(env, host)


def order(host, target="n2.example.org", **params):
    return migration_order.order(agent(host, **params), target, downtime_ms=105, is_persistent=False)


@pytest.mark.parametrize(
    ("params", "uri"),
    [
        ({}, "qemu://n2.example.org/system"),
        ({"migration_transport": "tcp"}, "qemu+tcp://n2.example.org/system"),
        ({"migration_transport": "tls"}, "qemu+tls://n2.example.org/system"),
        ({"migration_transport": "ssh"}, "qemu+ssh://n2.example.org/system?no_tty=1"),
        (
            {"migration_transport": "ssh", "migration_user": "virt_mig", "migration_network_suffix": "-mig"},
            "qemu+ssh://virt_mig@n2-mig.example.org/system?no_tty=1",
        ),
        ({"remoteuri": "qemu+tls://%n:16515/system", "migration_network_suffix": "-mig", "migration_transport": "tcp"},
         "qemu+tls://n2.example.org:16515/system"),
        ({"remoteuri": "qemu+ssh://root@%n/system?keyfile=/k"}, "qemu+ssh://root@n2.example.org/system?keyfile=/k&no_tty=1"),
    ],
)  # fmt: skip
def test_the_targets_libvirt_is_called_by(host, params, uri):
    assert order(host, **params).target_uri == uri
    assert migration_order.peer_uri(agent(host, **params), "n2.example.org") == uri


@pytest.mark.parametrize(
    ("params", "uri"),
    [
        ({}, ""),
        ({"migration_network_suffix": "-mig"}, "tcp://n2-mig.example.org"),
        ({"migrateport": "49160"}, "tcp://n2.example.org:49160"),
        ({"migration_network_suffix": "-mig", "migrateport": "49160"}, "tcp://n2-mig.example.org:49160"),
        ({"migrate_options": "--migrateuri=rdma://%n", "migration_network_suffix": "-mig"}, "rdma://n2.example.org"),
        (
            {"migrateuri": "tcp://%n:1", "migrate_options": "--migrateuri=rdma://%n", "migrateport": "2"},
            "tcp://n2.example.org:1",
        ),
    ],
)
def test_the_memory_goes_to(host, params, uri):
    made = order(host, **params)
    assert (made.migrate_uri, "migrate_uri" in made.parameters) == (uri, False)


GENTLE = {"migration_schedule": "gentle"}
"""The schedule that asks libvirt for nothing before a move begins."""


@pytest.mark.parametrize(
    ("params", "bandwidth", "downtime"),
    [
        ({}, None, 300),
        ({"migration_speed": "0", "migration_downtime": "0"}, None, 300),
        ({"migration_speed": "100", "migration_downtime": "50"}, 100, 50),
        ({"migration_bandwidth": "100"}, 100, 300),
        ({"migration_bandwidth": "0", "migration_speed": "100"}, 100, 300),
        ({"migration_speed": "100", "migrate_options": "--bandwidth 7"}, 7, 300),
    ],
)
def test_limits_of_a_move_zero_being_none(host, params, bandwidth, downtime):
    made = order(host, **GENTLE, **params)
    limits = migration_order.limits(agent(host, **params), 100.0)
    assert (made.bandwidth_mib, made.parameters) == (bandwidth, {})
    assert (limits.downtime_ms, limits.deadline_s) == (downtime, 100.0)


@pytest.mark.parametrize(
    ("params", "flags", "parameters"),
    [
        (GENTLE, (), {}),
        ({}, ("AUTO_CONVERGE",), {"auto_converge.initial": 20, "auto_converge.increment": 10}),
        (
            {"migrate_options": "--auto-converge --auto-converge-initial 5"},
            ("AUTO_CONVERGE",),
            {"auto_converge.initial": 5, "auto_converge.increment": 10},
        ),
        ({"migration_mode": "hybrid", "migration_schedule": "postcopy"}, ("POSTCOPY",), {}),
        ({**GENTLE, "migration_mode": "hybrid"}, ("POSTCOPY",), {}),
        ({**GENTLE, "migration_tls": "true"}, ("TLS",), {}),
        ({**GENTLE, "migration_connections": "4"}, ("PARALLEL",), {"parallel.connections": 4}),
    ],
)
def test_what_has_to_be_said_before_a_move_begins(host, params, flags, parameters):
    made = order(host, **params)
    assert (made.flags, made.parameters) == (flags, parameters)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"migration_schedule": "postcopy"}, "migration_schedule"),
        ({"migration_mode": "hybrid", "migration_connections": "2"}, "migration_connections"),
        ({"migration_mode": "hybrid", "migrate_options": "--p2p"}, "migrate_options"),
        ({"migration_bandwidth": "10", "migration_speed": "20"}, "migration_bandwidth"),
    ],
)
def test_what_contradicts_itself_is_refused(host, params, name):
    said = migration_order.wrong(agent(host, **params))
    assert [sentence.split("=")[0].split(" ")[0] for sentence in said] == [name]


def test_options_of_virsh_become_flags_and_parameters(host):
    made = order(
        host,
        **GENTLE,
        migrate_options="--parallel --parallel-connections=2 --tls --tls-destination %n --comp-methods mt",
    )
    assert made.flags == ("PARALLEL", "TLS")
    assert made.parameters == {
        "parallel.connections": 2, "tls.destination": "n2.example.org", "compression": ("mt",),
    }  # fmt: skip


@pytest.mark.parametrize("action", ["start", "migrate_to", "validate-all", "reload-agent"])
def test_every_wrong_parameter_of_a_move_is_named_before_anything_is_done(host, libvirt, config, action, capfd):
    libvirt.run_guest()
    params = {
        "config": CONFIG, "migrate_options": "--paralel --dname x", "remoteuri": "n2", "migrateuri": "n2",
        "migration_network_suffix": "/", "migration_user": "a b",
    }  # fmt: skip
    env = OcfEnv(action=action, instance="web1", params=params, migrate_target="n2")
    assert perform(VirtualDomain, env, host) == codes.ERR_CONFIGURED
    # The reason is one line of limited length; the sentences are all there for who asks.
    said = migration_order.wrong(agent(host, **params))
    assert [sentence.split('="')[0].split(": ")[0] for sentence in said] == [
        "migration_user", "migration_network_suffix", "remoteuri", "migrateuri", "migrate_options", "migrate_options",
    ]  # fmt: skip
    assert reason(capfd).startswith('migration_user="a b" may only hold')
    assert libvirt.calls == []


@pytest.mark.parametrize("action", ["monitor", "stop", "migrate_from"])
def test_a_wrong_parameter_of_a_move_hides_no_guest_and_keeps_none_from_stopping(host, libvirt, config, action):
    libvirt.run_guest()
    assert call(host, action, migrate_options="--paralel", migration_speed="10M", remoteuri="n2") == codes.SUCCESS
    assert (libvirt.guests == []) == (action == "stop")


def test_a_flag_that_this_libvirt_does_not_know_is_a_refusal():
    from types import SimpleNamespace

    from kvmha.tools import libvirtd

    binding = SimpleNamespace(VIR_MIGRATE_LIVE=1, VIR_MIGRATE_ABORT_ON_ERROR=4096)
    wanted = libvirtd.Migration(target_uri="qemu+tcp://n2/system", flags=("ZEROCOPY",))
    with pytest.raises(libvirtd.LibvirtError, match="does not know VIR_MIGRATE_ZEROCOPY"):
        libvirtd._flags(binding, wanted)
