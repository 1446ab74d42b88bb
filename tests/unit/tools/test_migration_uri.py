"""URIs of a live migration."""

from __future__ import annotations

import pytest

from kvmha.tools.migration_uri import (
    daemon_of,
    migrate_uri,
    on_network,
    target_uri,
    why_not_host_part,
    why_not_remote,
    why_not_stream,
)


@pytest.mark.parametrize(
    ("node", "suffix", "named"),
    [
        ("n2", "", "n2"),
        ("n2", "-mig", "n2-mig"),
        ("n2.example.org", "-mig", "n2-mig.example.org"),
        ("n2", ".mig.net", "n2.mig.net"),
    ],
)
def test_a_node_is_named_on_the_migration_network_behind_its_first_label(node, suffix, named):
    assert on_network(node, suffix) == named


@pytest.mark.parametrize(
    ("hypervisor", "transport", "user", "uri"),
    [
        ("qemu:///system", "", "", "qemu://n2/system"),
        ("qemu:///system", "tcp", "", "qemu+tcp://n2/system"),
        ("qemu:///system", "ssh", "virt_mig", "qemu+ssh://virt_mig@n2/system"),
        ("qemu:///system?mode=direct", "tls", "", "qemu+tls://n2/system?mode=direct"),
    ],
)
def test_the_targets_libvirt_is_reached_by_the_transport_and_the_user(hypervisor, transport, user, uri):
    assert target_uri(hypervisor, "n2", transport, user) == uri


@pytest.mark.parametrize(
    ("address", "port", "uri"),
    [
        ("", None, ""),
        ("n2-mig", None, "tcp://n2-mig"),
        ("n2-mig", 49160, "tcp://n2-mig:49160"),
    ],
)
def test_the_memory_goes_to_an_address_and_a_port_or_where_libvirt_chooses(address, port, uri):
    assert migrate_uri(address, port) == uri


@pytest.mark.parametrize("text", ["a b", "a@b", "a/b", "a:b", "a\n", "\u00e4", "a?b", "$(id)", "-x;", "%n"])
def test_a_text_that_would_change_the_uri_is_refused(text):
    assert why_not_host_part(text)


@pytest.mark.parametrize("text", ["", "virt_mig", "Virt", "a.b", "-mig"])
def test_a_text_that_is_a_part_of_a_name_is_taken(text):
    assert why_not_host_part(text) is None


@pytest.mark.parametrize(
    "uri", ["qemu://%n/system", "qemu+ssh://root@%n/system?keyfile=/root/k", "qemu+tcp://10.0.0.2:16509/system"]
)
def test_a_uri_of_another_nodes_libvirt_is_taken(uri):
    assert why_not_remote(uri) is None


@pytest.mark.parametrize(
    "uri",
    ["%n", "qemu:///system", "qemu+ssh://", "qemu+unix://?socket=/x", "xen+ssh://%n/", "qemu://a b/system", "n2:22"],
)
def test_a_uri_that_leads_to_no_other_node_is_refused(uri):
    assert "such as qemu+ssh://root@%n/system" in why_not_remote(uri)


@pytest.mark.parametrize("uri", ["tcp://%n", "tcp:%n:49152", "rdma://%n-ib", "tcp://[fd00::2]:49152"])
def test_a_uri_that_memory_can_be_sent_to_is_taken(uri):
    assert why_not_stream(uri) is None


@pytest.mark.parametrize(
    "uri", ["%n", "tcp", "tcp:", "tcp://", "http://%n", "tcp://a b", "exec:cat", "unix:///x", "tcp://\u00e4"]
)
def test_a_uri_that_memory_cannot_be_sent_to_is_refused(uri):
    assert "such as tcp://%n" in why_not_stream(uri)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("qemu+tcp://n2/system", ("n2", 16509)),
        ("qemu+tls://n2-mig/system", ("n2-mig", 16514)),
        ("qemu://n2/system", ("n2", 16514)),
        ("qemu+tcp://[fd00::2]:4000/system", ("fd00::2", 4000)),
        ("qemu+ssh://root@n2/system", None),
        ("qemu:///system", None),
        ("qemu+tcp://n2:port/system", None),
    ],
)
def test_where_a_daemon_listens_is_known_of_connections_that_are_ours(uri, place):
    assert daemon_of(uri) == place
