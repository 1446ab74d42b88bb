"""URIs of a live migration."""

from __future__ import annotations

import pytest

from kvmha.tools.migration_uri import migrate_uri, on_network, target_uri, why_not_host_part


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
    ("template", "address", "uri"),
    [
        ("", "", ""),
        ("", "n2-mig", "tcp://n2-mig"),
        ("tcp://%n:49152", "n2-mig", "tcp://n2:49152"),
        ("rdma://10.0.0.2", "", "rdma://10.0.0.2"),
    ],
)
def test_the_operators_own_uri_comes_before_the_migration_network(template, address, uri):
    assert migrate_uri(template, "n2", address) == uri


@pytest.mark.parametrize("text", ["a b", "a@b", "a/b", "a:b", "a\n", "\u00e4", "a?b", "$(id)", "-x;", "%n"])
def test_a_text_that_would_change_the_uri_is_refused(text):
    assert why_not_host_part(text)


@pytest.mark.parametrize("text", ["", "virt_mig", "Virt", "a.b", "-mig"])
def test_a_text_that_is_a_part_of_a_name_is_taken(text):
    assert why_not_host_part(text) is None
