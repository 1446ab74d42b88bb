"""The way to another node, as it is looked at and tried: packets, speed, login, certificates, post-copy."""

from __future__ import annotations

import pytest

from kvmha.cli.moving import path
from kvmha.host import CommandMissing
from kvmha.ocf.env import OcfEnv
from kvmha.resources.virtual_domain import VirtualDomain
from kvmha.tools import openssl, proc_stat, route, ssh
from tests.fakes import UNREACHABLE
from tests.unit.cli.test_through_pacemaker import World

ADDRESS = "10.0.0.2"
NET = "/sys/class/net/eth1"


@pytest.fixture
def world(monkeypatch):
    world = World(monkeypatch)
    host = world.host
    host.commands[route.lookup_argv("n2")] = f"{ADDRESS}        STREAM n2\n{ADDRESS}        DGRAM\n"
    host.commands[route.route_argv(ADDRESS)] = f"{ADDRESS} dev eth1 src 10.0.0.1 uid 0 \\    cache\n"
    host.files[f"{NET}/mtu"] = b"9000\n"
    host.commands[route.ping_argv(ADDRESS, route.SMALL)] = ""
    host.commands[route.ping_argv(ADDRESS, 8972)] = ""
    return world


def look(world, *, here="n1", is_let_in=True, measures=False, **params):
    guest = world.sight.guest("web1")
    known = {"config": "/etc/web1.xml", "migration_transport": "tcp"}
    env = OcfEnv(action="migrate_to", instance="web1", params={**known, **params})
    guest.agent = VirtualDomain(env, world.host)
    return path.look(world.host, guest, "n2", here=here, is_let_in=is_let_in, measures=measures)


def test_large_packets_are_sent_as_the_link_would(world):
    found = look(world)
    assert (found.address, found.device, found.mtu, found.carries_mtu) == (ADDRESS, "eth1", 9000, True)
    assert (found.tried_from, found.transport, found.unprivileged_faults) == ("n1", "tcp", None)


def test_large_packets_that_vanish_are_told_from_a_target_that_answers_no_pings(world):
    world.host.commands[route.ping_argv(ADDRESS, 8972)] = (1, "", "")
    assert look(world).carries_mtu is False
    world.host.commands[route.ping_argv(ADDRESS, route.SMALL)] = (1, "", "")
    assert look(world).carries_mtu is None
    world.host.commands[route.ping_argv(ADDRESS, route.SMALL)] = CommandMissing
    assert look(world).carries_mtu is None


def test_a_path_between_two_others_is_not_looked_at(world):
    found = look(world, here="n3")
    assert (found.address, found.mtu, found.carries_mtu, found.tried_from) == ("", None, None, "n3")


def test_the_speed_is_measured_where_that_is_wanted_else_it_is_that_of_a_card(world):
    assert look(world).speed_mib_s is None
    world.host.files[f"{NET}/speed"] = b"10000\n"
    assert look(world).speed_mib_s is None, "what is no card says anything"
    world.host.files[f"{NET}/device/vendor"] = b"0x8086\n"
    assert round(look(world).speed_mib_s) == 1121
    assert (look(world, measures=True).speed_mib_s, look(world, is_let_in=False).tried_from) == (80.0, "")
    world.there.trouble["path_mib_s"] = UNREACHABLE
    assert round(look(world, measures=True).speed_mib_s) == 1121


def test_where_a_name_leads_nowhere_nothing_is_known(world):
    world.host.commands[route.lookup_argv("n2")] = (2, "", "")
    assert (look(world).address, look(world).mtu) == ("", None)


def test_certificates_are_looked_for_and_their_end(world):
    wanted = {"migration_tls": "true"}
    assert "neither /etc/pki/libvirt-migrate nor /etc/pki/qemu" in look(world, **wanted).tls_problem
    world.host.files["/etc/pki/qemu/ca-cert.pem"] = b""
    assert "neither client-cert.pem nor server-cert.pem" in look(world, **wanted).tls_problem
    world.host.files["/etc/pki/qemu/server-cert.pem"] = b""
    for name in ("ca", "server"):
        for seconds in (0, openssl.WEEK):
            world.host.commands[openssl.check_argv(f"/etc/pki/qemu/{name}-cert.pem", seconds)] = ""
    assert look(world, **wanted).tls_problem == ""
    world.host.commands[openssl.check_argv("/etc/pki/qemu/server-cert.pem", openssl.WEEK)] = (1, "", "")
    found = look(world, **wanted)
    assert (found.tls_problem, found.is_tls_expired) == ("/etc/pki/qemu/server-cert.pem expires within a week", False)
    world.host.commands[openssl.check_argv("/etc/pki/qemu/server-cert.pem", 0)] = (1, "", "")
    assert look(world, **wanted).is_tls_expired


@pytest.mark.parametrize(
    ("answer", "said"), [("1\n", "1"), ("0\n", "0"), ((255, "", "Permission denied"), ""), (CommandMissing, "")]
)
def test_where_post_copy_is_wanted_the_target_is_asked_for_its_setting(world, answer, said):
    world.host.commands[ssh.argv("n2", "cat", path.SYSCTL)] = answer
    assert look(world, migration_mode="hybrid").unprivileged_faults == said


def test_on_the_target_itself_its_own_setting_is_read(world):
    world.host.files[path.SYSCTL] = b"0\n"
    assert look(world, here="n2", migration_mode="hybrid").unprivileged_faults == "0"


BEFORE, AFTER = "cpu  100 0 0 100 0 0 0 10 0 0", "cpu  120 0 0 140 0 0 0 50 0 0"


@pytest.mark.parametrize(
    ("answer", "percent"),
    [(f"{BEFORE}\n{AFTER}\n", 40.0), (f"{BEFORE}\n", None), ((255, "", "denied"), None), (CommandMissing, None)],
    ids=["told", "half", "not-let-in", "no-ssh"],
)  # fmt: skip
def test_what_another_node_loses_to_its_host_is_asked_by_ssh_once(world, answer, percent):
    world.host.commands[ssh.argv("n2", *proc_stat.TWICE)] = answer
    assert [world.sight._steal_percent("n2") for _ in range(2)] == [percent, percent]
    assert len([argv for argv in world.host.ran if argv[0] == "ssh"]) == 1
