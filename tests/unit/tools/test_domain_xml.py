"""Who a definition defines, and what is said about a text that defines nobody."""

from __future__ import annotations

import pytest

from kvmha.policy.model import GuestIdentity
from kvmha.tools.domain_xml import DomainXmlError, parse_identity

UUID = "3f1f9a52-0c1b-4b6f-9d3e-5f7c2f6b1a01"
WEB1 = GuestIdentity(name="web1", uuid=UUID)
PLAIN = f"<domain type='kvm'>\n <name>web1</name>\n <uuid>{UUID}</uuid>\n</domain>\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PLAIN.encode(), id="plain"),
        pytest.param(PLAIN.replace("\n", "").encode(), id="minified"),
        pytest.param(b"\xef\xbb\xbf" + PLAIN.encode(), id="byte-order-mark"),
        pytest.param(b'<?xml version="1.0" encoding="UTF-8"?>\n' + PLAIN.encode(), id="declaration"),
        pytest.param(PLAIN.encode("utf-16"), id="utf-16"),
        pytest.param(f"<domain><uuid>{UUID.upper()}</uuid><name>web1</name></domain>".encode(), id="capitals"),
        pytest.param(f"<domain><uuid>{UUID.replace('-', '')}</uuid><name>web1</name></domain>".encode(), id="dashless"),
        pytest.param(f"<domain><uuid>\n  {UUID}\n </uuid><name>web1</name></domain>".encode(), id="spaces"),
        pytest.param(PLAIN.replace("web1", "<![CDATA[web1]]>").encode(), id="cdata"),
        pytest.param(PLAIN.replace("web1", "we<!-- here -->b1").encode(), id="comment-in-the-middle"),
        pytest.param(
            PLAIN.replace("<name>", "<metadata><app:x xmlns:app='urn:a'><app:name>no</app:name><name>other</name>"
                          "<uuid>x</uuid></app:x></metadata><name>").encode(),
            id="metadata-first",
        ),
        pytest.param(
            PLAIN.replace("</domain>", "<devices><disk><name>n</name></disk></devices></domain>").encode(),
            id="names-of-others",
        ),
        pytest.param(
            PLAIN.replace("<domain", "<domain xmlns:qemu='urn:libvirt:qemu'").encode(), id="namespace"
        ),
        pytest.param(b"<!DOCTYPE domain>" + PLAIN.encode(), id="empty-doctype"),
    ],
)  # fmt: skip
def test_a_definition_is_read_in_every_form(text):
    assert parse_identity(text) == WEB1


@pytest.mark.parametrize(
    ("written", "name"), [("a &amp; b", "a & b"), ("web.1", "web.1"), ("c++vm", "c++vm"), ("a,b", "a,b")]
)
def test_a_name_is_taken_as_it_is(written, name):
    assert parse_identity(f"<domain><name>{written}</name></domain>".encode()) == GuestIdentity(name=name)


def test_a_definition_without_uuid_has_none():
    assert parse_identity(b"<domain><name>web1</name><uuid/></domain>") == GuestIdentity(name="web1", uuid="")


BOMB = (
    b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + level, b"&%c;" % (97 + level) * 10) for level in range(9))
    + b"]><domain><name>&j;</name></domain>"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(b"", "not well-formed", id="empty"),
        pytest.param(b"web1", "not well-formed", id="text"),
        pytest.param(PLAIN.encode()[:-10], "not well-formed", id="truncated"),
        pytest.param(PLAIN.encode() * 2, "not well-formed", id="twice"),
        pytest.param(b"\0" * 100, "not well-formed", id="zeros"),
        pytest.param(b"<domain><name>\xff</name></domain>", "not well-formed", id="bad-bytes"),
        pytest.param(b"<domain/>", "no <name> below <domain>", id="nothing"),
        pytest.param(b"<domain><name> </name></domain>", "no <name> below <domain>", id="blank-name"),
        pytest.param(b"<network><name>web1</name></network>", "no <name> below <domain>", id="network"),
        pytest.param(b"<x><domain><name>web1</name></domain></x>", "no <name> below <domain>", id="below-something"),
        pytest.param(b"<domain><name>a</name><name>b</name></domain>", "a second <name>", id="two-names"),
        pytest.param(b"<domain><name>a</name><uuid>zz</uuid></domain>", '<uuid> "zz" is not one', id="bad-uuid"),
        pytest.param(BOMB, "it declares entities", id="bomb"),
        pytest.param(
            b'<!DOCTYPE d [<!ENTITY a SYSTEM "/etc/passwd">]><domain><name>&a;</name></domain>',
            "entities",
            id="external",
        ),
        pytest.param(b'<?xml version="1.0" encoding="shift_jis"?><domain/>', "encoding", id="multi-byte-encoding"),
        pytest.param(b'<?xml version="1.0" encoding="no-such"?><domain/>', "encoding", id="unknown-encoding"),
    ],
)
def test_a_text_that_defines_nobody_is_refused_with_the_reason(text, said):
    with pytest.raises(DomainXmlError) as caught:
        parse_identity(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("it")
