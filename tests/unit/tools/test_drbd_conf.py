"""DRBD's configuration, as people write it and as drbdadm prints it."""

from __future__ import annotations

import pytest

from kvmha.tools.drbd_conf import DrbdConfError, parse

DUMP = """\
# /etc/drbd.conf
global {
    usage-count no;
    cmd-timeout-medium 600;
}

common {
    net {
        protocol           C;
        verify-alg       sha256;
    }
    handlers {
        fence-peer       "/usr/lib/kvmha/drbd-fence-peer --timeout 30; true";
    }
}

# resource r0 on n1: not ignored, not stacked
# defined at /etc/drbd.d/r0.res:1
resource r0 {
    on n1 {
        volume 0 {
            device       /dev/drbd0 minor 0;
            disk         /dev/vg/r0;
            meta-disk    internal;
        }
        address          ipv4 10.77.1.11:7788;
    }
    on n2 {
        volume 0 {
            device       /dev/drbd0 minor 0;
            disk         /dev/vg/r0;
            meta-disk    internal;
        }
        address          ipv6 [fd00::12]:7788;
    }
    net {
        protocol           A;
        allow-two-primaries;
    }
}
"""


def test_a_dump_is_read_with_what_is_common():
    (resource,) = parse(DUMP)
    assert (resource.name, resource.hosts) == ("r0", ("n1", "n2"))
    assert resource.option("net", "verify-alg") == "sha256"
    assert resource.option("net", "protocol") == "A"
    assert resource.option("handlers", "fence-peer") == "/usr/lib/kvmha/drbd-fence-peer --timeout 30; true"
    assert resource.option("disk", "on-io-error") is None


def test_an_option_without_a_value_says_yes():
    assert parse(DUMP)[0].option("net", "allow-two-primaries") == "yes"


def test_addresses_lose_their_ports():
    assert parse(DUMP)[0].links == ("10.77.1.11", "fd00::12")


def test_the_protocol_may_stand_where_drbd_8_3_had_it():
    assert parse("resource r { protocol B; on n1 { } on n2 { } }")[0].option("net", "protocol") == "B"


def test_no_resource_is_none():
    assert parse("global { usage-count no; }\n") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("resource r0 {\n net {\n protocol C;\n", "has no end", id="open"),
        pytest.param("resource r0 { }\n}\n", "line 2: a closing brace", id="closed"),
        pytest.param("resource r0 { net { protocol C } }", "has no semicolon", id="semicolon"),
        pytest.param('resource r0 { handlers { fence-peer "x; } }', "a quote without its end", id="quote"),
        pytest.param("{ }", "a section without a name", id="no-name"),
    ],
)
def test_a_mistake_is_named_with_its_line(text, said):
    with pytest.raises(DrbdConfError, match=said):
        parse(text)
