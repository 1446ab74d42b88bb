"""For each rule about corosync: a change that breaks it, and one next to it that does not."""

from __future__ import annotations

from kvmha.policy.node import LinkAddress
from tests.unit.cluster.lint.examples import Change

TOKEN = "    token: 3000\n"
PROVIDER = "    provider: corosync_votequorum\n"


def conf(old, new):
    return Change(conf=((old, new),))


def cib(old, new):
    return Change(cib=((old, new),))


def fields(node="n2", **values):
    return Change(node=node, fields=values)


def addresses(first_mtu=1500, second_mtu=1500, second="eth1"):
    return (
        LinkAddress(address="10.77.0.12", interface="br0", mtu=first_mtu, prefix=24),
        LinkAddress(address="10.77.1.12", interface=second, mtu=second_mtu, prefix=24),
    )


ONE_LINK = tuple((f"        ring1_addr: 10.77.1.1{number}\n", "") for number in (1, 2, 3))
LINK_0 = "    interface {{\n        linknumber: 0\n        {}\n    }}\n"


def ring0(*lines):
    return conf(TOKEN, TOKEN + LINK_0.format("\n        ".join(lines)))


# Rule: example, what breaks it, what is next to that and right, and what else the break is bound to bring.
BREAKS = {
    "token-short": ("three", conf("token: 3000", "token: 999"), conf("token: 3000", "token: 1000"), ()),
    # A node that boots then takes itself for alone as well.
    "token-long": ("three", conf("token: 3000", "token: 9100"), conf("token: 3000", "token: 9000"), ("dc-deadtime",)),
    "token-coefficient": ("three", conf("    token_coefficient: 0\n", ""), conf(TOKEN, "    token: 4000\n"), ()),
    "consensus-short": (
        "three",
        conf(TOKEN, f"{TOKEN}    consensus: 3000\n"),
        conf(TOKEN, f"{TOKEN}    consensus: 3001\n"),
        (),
    ),
    "consensus-join": (
        "pair",
        conf(TOKEN, f"{TOKEN}    consensus: 50\n"),
        conf(TOKEN, f"{TOKEN}    consensus: 51\n"),
        (),
    ),
    "consensus-long": (
        "three",
        conf(TOKEN, f"{TOKEN}    consensus: 6001\n"),
        conf(TOKEN, f"{TOKEN}    consensus: 6000\n"),
        (),
    ),
    "retransmit-short": (
        "three",
        conf(TOKEN, f"{TOKEN}    token_retransmits_before_loss_const: 100\n"),
        conf(TOKEN, f"{TOKEN}    token_retransmits_before_loss_const: 99\n"),
        (),
    ),
    "link-failover": (
        "three",
        ring0("knet_ping_interval: 1000", "knet_ping_timeout: 2000"),
        ring0("knet_ping_interval: 999", "knet_ping_timeout: 2000"),
        (),
    ),
    "link-ping": (
        "three",
        ring0("knet_ping_interval: 1000", "knet_ping_timeout: 999"),
        ring0("knet_ping_interval: 1000", "knet_ping_timeout: 1000"),
        (),
    ),
    "one-link": ("three", Change(conf=ONE_LINK), None, ()),
    "links-one-network": (
        "three",
        Change(
            conf=tuple((f"10.77.1.1{number}", f"10.77.0.2{number}") for number in (1, 2, 3)),
            facts=lambda found: found.replace(nodes=()),
        ),
        None,
        (),
    ),
    "links-one-interface": ("three", fields(addresses=addresses(second="br0")), fields(addresses=addresses()), ()),
    "mtu-differs": (
        "three",
        fields(addresses=addresses(second_mtu=1400)),
        fields(addresses=addresses()),
        (),
    ),
    "mtu-large": (
        "three",
        conf(TOKEN, f"{TOKEN}    knet_mtu: 1473\n"),
        conf(TOKEN, f"{TOKEN}    knet_mtu: 1472\n"),
        (),
    ),
    "link-mode": (
        "three",
        conf("link_mode: passive", "link_mode: rr"),
        conf("link_mode: passive", "link_mode: active"),
        (),
    ),
    "encryption-off": ("three", conf("    crypto_hash: sha256\n", ""), conf("sha256", "sha512"), ()),
    "transport-old": ("three", conf("transport: knet", "transport: udpu"), conf("    transport: knet\n", ""), ()),
    "node-name-missing": (
        "three",
        Change(conf=(("        name: n3\n", ""),), facts=lambda found: found.replace(cib=None)),
        None,
        (),
    ),
    "node-id": ("three", conf("nodeid: 3", "nodeid: 2"), conf("nodeid: 3", "nodeid: 7"), ()),
    "node-name-differs": ("three", cib('uname="n3"', 'uname="n4"'), None, ()),
    "uname-differs": ("three", fields(uname="n2.example.org"), fields(uname="n2"), ()),
    "runtime-differs": ("three", fields(runtime={"token": 5000}), fields(runtime={"token": 3000}), ()),
    "conf-differs": ("three", fields(corosync_conf="fedcba"), fields(corosync_conf="0123456789abcdef"), ()),
    "address-is-name": (
        "three",
        Change(conf=(("10.77.1.13", "n3-ring1"),), facts=lambda found: found.replace(nodes=found.nodes[:2])),
        None,
        (),
    ),
    "quorum-provider": ("three", conf(PROVIDER, ""), None, ()),
    "two-node-missing": (
        "pair",
        Change(conf=(("    two_node: 1\n", ""), ("    wait_for_all: 1\n", ""))),
        None,
        (),
    ),
    "two-node-on-more": ("three", conf(PROVIDER, f"{PROVIDER}    two_node: 1\n"), None, ()),
    "wait-for-all-off": (
        "pair",
        conf("wait_for_all: 1", "wait_for_all: 0"),
        conf("    wait_for_all: 1\n", ""),
        (),
    ),
    "two-node-and-device": ("device", conf(PROVIDER, f"{PROVIDER}    two_node: 1\n"), None, ()),
    "device-options": (
        "device",
        conf(PROVIDER, f"{PROVIDER}    auto_tie_breaker: 1\n"),
        conf(PROVIDER, f"{PROVIDER}    auto_tie_breaker: 0\n"),
        (),
    ),
    "last-man-standing": (
        "three",
        conf(PROVIDER, f"{PROVIDER}    last_man_standing: 1\n"),
        conf(PROVIDER, f"{PROVIDER}    last_man_standing: 1\n    wait_for_all: 1\n"),
        (),
    ),
    "expected-votes": (
        "three",
        conf(PROVIDER, f"{PROVIDER}    expected_votes: 2\n"),
        conf(PROVIDER, f"{PROVIDER}    expected_votes: 3\n"),
        (),
    ),
    "votes-differ": ("device", fields(expected_votes=2), fields(expected_votes=3), ()),
    "device-sync-timeout": (
        "device",
        conf("sync_timeout: 12000", "sync_timeout: 9600"),
        conf("sync_timeout: 12000", "sync_timeout: 9601"),
        (),
    ),
    "device-slow": (
        "device",
        Change(conf=((" timeout: 8000", " timeout: 12000"), ("sync_timeout: 12000", "sync_timeout: 30000"))),
        Change(conf=((" timeout: 8000", " timeout: 11000"), ("sync_timeout: 12000", "sync_timeout: 30000"))),
        (),
    ),
    "device-poll": ("device", conf(" timeout: 8000", " timeout: 999"), conf(" timeout: 8000", " timeout: 1000"), ()),
    "device-inside": ("device", conf("10.77.2.5", "10.77.1.12"), conf("10.77.2.5", "10.77.1.13"), ()),
    "device-tls": ("device", conf("tls: required", "tls: off"), conf("tls: required", "tls: on"), ()),
    "device-votes": ("device", conf("votes: 1", "votes: 2"), conf("        votes: 1\n", ""), ()),
    "device-algorithm": ("device", conf("ffsplit", "test"), conf("ffsplit", "lms"), ()),
    "no-quorum-ignore": ("three", cib('value="freeze"', 'value="ignore"'), cib('value="freeze"', 'value="demote"'), ()),
    "no-quorum-stop": ("three", cib('value="freeze"', 'value="stop"'), cib('value="freeze"', 'value="suicide"'), ()),
}
