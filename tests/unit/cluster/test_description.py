"""cluster.yaml: what is read from it, and the line that each mistake gets."""

from __future__ import annotations

import pytest

from kvmha.cluster import description, fields
from kvmha.cluster.description import DescriptionError
from kvmha.errors import UserError
from kvmha.host import Host

GOOD = """\
cluster: demo
nodes:
  - name: n1
    addresses: [10.77.0.11, 10.77.1.11]
    fencing:
      agent: fence_ipmilan
      options: {ip: 10.77.9.11, password: 0123, lanplus: yes}
  - name: n2
    addresses: [10.77.0.12, 10.77.1.12]
    fencing: {agent: fence_ipmilan}
  - name: n3
    addresses: [10.77.0.13, 10.77.1.13]
    fencing: {agent: fence_ipmilan}
timing: {token: 3000}
guests:
  - name: web1
    config: /etc/kvmha/guests/web1.xml
    prefers: n1
  - name: web2
    config: /etc/kvmha/guests/web2.xml
floating_ips:
  - name: vip
    ip: 10.77.0.100
    cidr_netmask: 24
    nic: br0
    follows: web1
"""


NAMES = ", ".join(field.name for field in fields.CLUSTER)


def mistakes(text: str) -> list[str]:
    """Return the lines that a text is refused with."""
    with pytest.raises(DescriptionError) as refused:
        description.read(text, "cluster.yaml")
    return str(refused.value).splitlines()


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, f"{old!r} must name one place of the good text"
    return GOOD.replace(old, new)


def test_a_good_file_is_read_into_records():
    read = description.read(GOOD, "cluster.yaml")
    assert [node.name for node in read.nodes] == ["n1", "n2", "n3"]
    assert read.nodes[0].addresses == ("10.77.0.11", "10.77.1.11")
    assert read.timing.token == 3000
    assert (read.guests[0].prefers, read.guests[1].prefers) == ("n1", None)
    assert (read.floating_ips[0].cidr_netmask, read.floating_ips[0].follows) == (24, "web1")


def test_options_keep_their_text_and_booleans_become_true_or_false():
    options = description.read(GOOD, "cluster.yaml").nodes[0].fencing[0].options
    assert options == {"ip": "10.77.9.11", "password": "0123", "lanplus": "true"}


def test_what_is_left_out_has_its_default():
    text = changed("timing: {token: 3000}\n", "")
    read = description.read(text[: text.index("guests:")] + "guests:\n", "cluster.yaml")
    assert (read.timing.token, read.timing.consensus) == (1300, 1560)
    assert (read.timing.knet_ping_interval, read.timing.knet_ping_timeout, read.timing.knet_pong_count) == (260, 520, 2)
    assert (read.guests, read.floating_ips, read.nodes[1].fencing[0].options) == ((), (), {})
    assert (read.sbd, read.booth, read.quorum.device, read.migration.transport) == (None, None, None, "tls")
    assert (read.replication.fencing, read.hosts.firewall) == ("resource-and-stonith", True)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("cluster: demo", "cluster: my cluster",
                     '1: cluster: "my cluster" does not fit; expected at most 32 letters, digits, _ and -',
                     id="a cluster's name with a space is refused"),
        pytest.param("cluster: demo\n", "",
                     "1: cluster: missing; expected at most 32 letters, digits, _ and -",
                     id="a missing field is named in the line where its group begins"),
        pytest.param("cluster: demo", "cluster: [demo]",
                     "1: cluster: this is a list; expected at most 32 letters, digits, _ and -",
                     id="a list in place of text is refused"),
        pytest.param("cluster: demo", "cluster: no",
                     '1: cluster: "no" is a boolean in YAML unless it stands in quotes; '
                     "expected at most 32 letters, digits, _ and -",
                     id="an unquoted no is not taken for a name"),
        pytest.param("cluster: demo", "cluster:",
                     "1: cluster: has no value; expected at most 32 letters, digits, _ and -",
                     id="a field without a value is refused"),
        pytest.param("timing: {token: 3000}", "timings: {token: 3000}",
                     "14: timings: unknown field; did you mean timing?",
                     id="the nearest known field is suggested for an unknown one"),
        pytest.param("timing: {token: 3000}", "xyz: 1",
                     f"14: xyz: unknown field; expected one of {NAMES}",
                     id="an unknown field that is near to none gets them all"),
        pytest.param("timing: {token: 3000}", "cluster: again",
                     "14: cluster: given a second time; the first is in line 1",
                     id="a field given twice is refused at the second place"),
        pytest.param("timing: {token: 3000}", "timing: 3000",
                     '14: timing: "3000" is a single value; expected the fields token, consensus, join, '
                     "knet_ping_interval, knet_ping_timeout, knet_pong_count, fencing_delay",
                     id="a value in place of a group is refused"),
        pytest.param("timing: {token: 3000}", "timing: {token: 3s}",
                     '14: timing.token: "3s" does not fit; expected milliseconds from 500 to 60000',
                     id="a token with a unit is refused"),
        pytest.param("timing: {token: 3000}", "timing: {token: 3}",
                     '14: timing.token: "3" does not fit; expected milliseconds from 500 to 60000',
                     id="a token that was meant in seconds is refused"),
        pytest.param("name: n2", "name: n_2",
                     '8: nodes[1].name: "n_2" does not fit; '
                     "expected a host name: letters, digits and -, labels joined by dots",
                     id="a node's name that is no host name is refused"),
        pytest.param("name: n2", "name: 10.0.0.2",
                     '8: nodes[1].name: "10.0.0.2" does not fit; '
                     "expected a host name: letters, digits and -, labels joined by dots",
                     id="an address is no name of a node"),
        pytest.param("name: n2", "name: N3",
                     '11: nodes[2].name: "n3" is also nodes[1].name; expected a name of its own',
                     id="two nodes with one name are refused, whatever its case"),
        pytest.param("10.77.1.12]", "10.77.1.312]",
                     '9: nodes[1].addresses[1]: "10.77.1.312" does not fit; '
                     "expected an IPv4 or IPv6 address for each corosync link",
                     id="an address that is none is refused"),
        pytest.param("10.77.1.12]", "127.0.0.1]",
                     '9: nodes[1].addresses[1]: "127.0.0.1" does not fit; '
                     "expected an IPv4 or IPv6 address for each corosync link",
                     id="an address that other nodes cannot reach is refused"),
        pytest.param("10.77.1.12]", "fd00::12]",
                     '9: nodes[1].addresses[1]: "fd00::12" is IPv6; expected IPv4 as on nodes[0]',
                     id="the two ends of a link are of one address family"),
        pytest.param("[10.77.0.12, 10.77.1.12]", "[10.77.0.12]",
                     "9: nodes[1].addresses: 1 addresses; expected 2 as on nodes[0]",
                     id="every node has the same number of addresses"),
        pytest.param("[10.77.0.12, 10.77.1.12]", "[]",
                     "9: nodes[1].addresses: 0 addresses; expected 1 to 8, one for each corosync link",
                     id="a node without an address is refused"),
        pytest.param("10.77.1.12]", "10.77.1.11]",
                     '9: nodes[1].addresses[1]: "10.77.1.11" is also nodes[0].addresses[1]; '
                     "expected an address of its own",
                     id="two nodes with one address are refused"),
        pytest.param("[10.77.0.12, 10.77.1.12]", "10.77.0.12",
                     '9: nodes[1].addresses: "10.77.0.12" is a single value; '
                     "expected an IPv4 or IPv6 address for each corosync link",
                     id="one address outside a list is refused"),
        pytest.param("      agent: fence_ipmilan\n", "      agent: ipmilan\n",
                     '6: nodes[0].fencing.agent: "ipmilan" does not fit; '
                     "expected the name of a fence agent, such as fence_ipmilan",
                     id="a fence agent without its prefix is refused"),
        pytest.param("lanplus: yes", "pcmk_host_list: n2",
                     "7: nodes[0].fencing.options.pcmk_host_list: is set from the node's name; leave it out",
                     id="the target of a fence device cannot be set by hand"),
        pytest.param("password: 0123", "password: [s3cret]",
                     "7: nodes[0].fencing.options.password: has no single value; "
                     "expected text, a number, true or false",
                     id="an option that is a list is refused without showing it"),
        pytest.param("password: 0123", 'password: "s3\\ncret"',
                     "7: nodes[0].fencing.options.password: has a control character in its value; "
                     "expected one line of text",
                     id="an option over two lines is refused without showing it"),
        pytest.param("password: 0123", "pass=word: 1",
                     "7: nodes[0].fencing.options.pass=word: no name of an option; "
                     "expected letters, digits, _ and -",
                     id="an option whose name would be read as name and value is refused"),
        pytest.param("password: 0123", "ip: 10.0.0.1",
                     "7: nodes[0].fencing.options.ip: given a second time; the first is in line 7",
                     id="an option given twice is refused"),
        pytest.param("{ip: 10.77.9.11, password: 0123, lanplus: yes}", "[lanplus, s3cret]",
                     "7: nodes[0].fencing.options: a list; "
                     "expected the agent's options, such as {ip: 192.0.2.1, username: admin}",
                     id="options without values are refused"),
        pytest.param("name: web2", "name: 2web",
                     '19: guests[1].name: "2web" does not fit; '
                     "expected a letter or _, then letters, digits, dots, _ and -",
                     id="a guest whose name could be no id in the CIB is refused"),
        pytest.param("name: web2", "name: vip",
                     '22: floating_ips[0].name: "vip" is also guests[1].name; expected a name of its own',
                     id="a guest and an address share no name"),
        pytest.param("name: web2", "name: fence-n1",
                     '19: guests[1].name: "fence-n1" is also the fence device of n1; '
                     "expected a name of its own",
                     id="a guest and a fence device share no name"),
        pytest.param("config: /etc/kvmha/guests/web2.xml", "config: web2.xml",
                     '20: guests[1].config: "web2.xml" does not fit; expected an absolute path',
                     id="a relative path to a domain is refused"),
        pytest.param("prefers: n1", "prefers: n9",
                     '18: guests[0].prefers: "n9" is no node; expected one of n1, n2, n3',
                     id="a preferred node has to exist"),
        pytest.param("prefers: n1", "options: {config: /x}",
                     "18: guests[0].options.config: is given by the guest's own field config; leave it out",
                     id="a guest's domain is given in one place"),
        pytest.param("follows: web1", "follows: web9",
                     '26: floating_ips[0].follows: "web9" is no guest; expected one of web1, web2',
                     id="a guest that is followed has to exist"),
        pytest.param("nic: br0\n", "nic: br0\n    prefers: n1\n",
                     "27: floating_ips[0].follows: given together with prefers; expected only one of the two",
                     id="an address follows a guest or prefers a node but not both"),
        pytest.param("ip: 10.77.0.100", "ip: 10.77.0.100/24",
                     '23: floating_ips[0].ip: "10.77.0.100/24" does not fit; '
                     "expected an IPv4 or IPv6 address",
                     id="a floating IP has its prefix in a field of its own"),
        pytest.param("ip: 10.77.0.100", "ip: 10.77.0.12",
                     '23: floating_ips[0].ip: "10.77.0.12" is also nodes[1].addresses[0]; '
                     "expected an address of its own",
                     id="a floating IP is no node's address"),
        pytest.param("cidr_netmask: 24", "cidr_netmask: 64",
                     '24: floating_ips[0].cidr_netmask: "64" is longer than an IPv4 address; '
                     "expected at most 32",
                     id="a prefix is no longer than its address"),
        pytest.param("cidr_netmask: 24", "cidr_netmask: 255.255.255.0",
                     '24: floating_ips[0].cidr_netmask: "255.255.255.0" does not fit; '
                     "expected a prefix length, such as 24",
                     id="a netmask in dotted form is refused"),
        pytest.param("nic: br0", "nic: a-name-of-16-chars",
                     '25: floating_ips[0].nic: "a-name-of-16-chars" does not fit; '
                     "expected the name of a network interface",
                     id="an interface's name that the kernel would refuse is refused"),
        pytest.param("guests:\n", "guests:\n  - web0\n",
                     '16: guests[0]: "web0" is a single value; '
                     "expected the fields name, config, memory, vcpu, priority, prefers, nodes, apart_from, "
                     "never_with, "
                     "disks, migrate, downtime_limit, recovery_limit, boot_time, shutdown_time, dirty_rate, service, "
                     "ticket, options",
                     id="a guest that is only a name is refused"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_line_and_field(old: str, new: str, said: str):
    assert mistakes(changed(old, new)) == [f"cluster.yaml:{said}"]


def test_all_mistakes_come_at_once_and_in_the_order_of_their_lines():
    text = changed("follows: web1", "follow: web1").replace("name: n2", "name: n 2").replace("token: 3000", "token: x")
    assert [line.split(": ")[:2] for line in mistakes(text)] == [
        ["cluster.yaml:8", "nodes[1].name"],
        ["cluster.yaml:14", "timing.token"],
        ["cluster.yaml:26", "floating_ips[0].follow"],
    ]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_number_of_nodes_without_templates_is_refused(count: int):
    nodes = "".join(
        f"  - {{name: n{n}, addresses: [10.0.0.{n}], fencing: {{agent: fence_x}}}}\n" for n in range(1, count + 1)
    )
    expected = f"2: nodes: {count} nodes; expected 2 (template two-node) or 3 (template three-node)"
    assert mistakes(f"cluster: demo\nnodes:\n{nodes}") == [f"cluster.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "1: empty; expected at least the fields cluster, nodes",
                     id="an empty file is refused"),
        pytest.param("- a\n",
                     f"1: this is a list; expected the fields {NAMES}",
                     id="a file that is a list is refused"),
        pytest.param("cluster: demo\n\tnodes: x\n",
                     "2: no YAML: found character '\\t' that cannot start any token",
                     id="a tab is found in its line"),
        pytest.param("cluster: a\n---\ncluster: b\n", "2: no YAML: but found another document",
                     id="a second document is refused"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_group_of_fields_is_refused(text: str, said: str):
    assert mistakes(text) == [f"cluster.yaml:{said}"]


def test_a_password_is_never_shown():
    text = changed("password: 0123", "password: [s3cret, s3cret]").replace("agent: fence_ipmilan\n", "agent: 5\n", 1)
    assert "s3cret" not in "".join(mistakes(text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*/none.yaml: No such file or directory"):
        description.load(Host(), f"{tmp_path}/none.yaml")


def rows(table: tuple[fields.Field, ...], make: type) -> list[tuple[tuple[fields.Field, ...], type]]:
    """Return every group of fields with the record that it becomes."""
    below = [found for field in table if field.inner for found in rows(field.inner, field.make)]
    return [(table, make), *below]


@pytest.mark.parametrize(
    ("table", "make"),
    [pytest.param(*row, id=row[1].__name__) for row in rows(fields.CLUSTER, fields.ClusterDescription)],
)
def test_a_record_has_the_fields_of_its_table(table, make):
    assert [field.name for field in table] == list(make._fields)
    assert all(field.help.endswith(".") for field in table)


def test_the_examples_together_show_every_field(checkout):
    texts = [(checkout / f"cluster-templates/{name}/cluster.yaml").read_text() for name in description.TEMPLATES]
    names = {field.name for table, _ in rows(fields.CLUSTER, fields.ClusterDescription) for field in table}
    assert {name for name in names if not any(f"{name}:" in text for text in texts)} == set()


@pytest.mark.parametrize("name", description.TEMPLATES)
def test_each_example_is_made_by_the_templates_in_its_folder(checkout, name):
    read = description.load(Host(), str(checkout / f"cluster-templates/{name}/cluster.yaml"))
    assert description.template(read) == name


def test_two_nodes_have_nobody_to_agree_with_and_take_less_time_for_it():
    pair = GOOD[: GOOD.index("  - name: n3")] + "timing: {token: 4000}\n"
    times = description.read(pair, "cluster.yaml").timing
    assert (times.token, times.consensus, times.knet_ping_interval, times.knet_ping_timeout) == (4000, 1200, 800, 1600)


def test_a_field_that_is_yes_or_no_is_read_as_that_and_nothing_else():
    text = changed("timing: {token: 3000}", "hosts: {firewall: no}")
    assert description.read(text, "cluster.yaml").hosts.firewall is False
    assert mistakes(changed("timing: {token: 3000}", 'hosts: {firewall: "no"}')) == [
        'cluster.yaml:14: hosts.firewall: "no" does not fit; expected yes or no, without quotes'
    ]
    assert mistakes(changed("timing: {token: 3000}", "hosts: {firewall: [no]}")) == [
        "cluster.yaml:14: hosts.firewall: this is a list; expected yes or no, without quotes"
    ]


def test_a_fence_device_by_itself_is_a_list_of_one():
    levels = """fencing:
      - {agent: fence_ipmilan}
      - {agent: fence_apc, level: 2, name: pdu-n2}
"""
    read = description.read(GOOD.replace("fencing: {agent: fence_ipmilan}\n", levels, 1), "cluster.yaml")
    assert [(device.id, device.node, device.level) for device in description.fence_devices(read)] == [
        ("fence-n1", "n1", 1), ("fence-n2", "n2", 1), ("pdu-n2", "n2", 2), ("fence-n3", "n3", 1),
    ]  # fmt: skip
    wrong = GOOD.replace("fencing: {agent: fence_ipmilan}\n", "fencing: {agent: x, level: 0}\n", 1)
    assert [line.split(": ")[1] for line in mistakes(wrong)] == ["nodes[1].fencing.agent", "nodes[1].fencing.level"]


TWENTY = """\
cluster: my cluster
nodes:
  - name: 10.0.0.1
    addresses: [10.77.0.11, 10.77.1.300]
    fencing: {agent: ipmilan, level: 10}
  - name: n2
    addresses: [10.77.0.12, 10.77.1.12]
    fencing: {agent: fence_ipmilan, options: {pcmk_host_list: n2}}
    memory: 64G
quorum:
  device: {host: "no host!", algorithm: half}
timing: {token: 3s}
network: {link_mode: fast}
sbd: {devices: [sda], watchdog_timeout: 1}
migration: {bandwith: 100}
drbd:
  - {name: web1, minor: first, disk: vg0/web1, port: 77880}
guests:
  - name: web1
    config: web1.xml
    disks: [web2]
    prefers: n9
    service: {probe: "udp://10.0.0.1:53"}
floating_ips:
  - {name: vip, ip: 10.77.0.100/24, cidr_netmask: 24, nic: br0, follows: web9}
"""


def test_twenty_wrong_fields_are_named_at_once_each_with_line_and_what_would_be_right():
    found = mistakes(TWENTY)
    assert [line.split(": ")[:2] for line in found] == [
        [f"cluster.yaml:{line}", place] for line, place in (
            (1, "cluster"), (3, "nodes[0].name"), (4, "nodes[0].addresses[1]"), (5, "nodes[0].fencing.agent"),
            (5, "nodes[0].fencing.level"), (8, "nodes[1].fencing.options.pcmk_host_list"), (9, "nodes[1].memory"),
            (11, "quorum.device.host"), (11, "quorum.device.algorithm"), (12, "timing.token"),
            (13, "network.link_mode"), (14, "sbd.devices[0]"), (14, "sbd.watchdog_timeout"), (15, "migration.bandwith"),
            (17, "drbd[0].minor"), (17, "drbd[0].disk"), (17, "drbd[0].port"), (20, "guests[0].config"),
            (21, "guests[0].disks[0]"), (22, "guests[0].prefers"), (23, "guests[0].service.probe"),
            (25, "floating_ips[0].ip"), (25, "floating_ips[0].follows"),
        )
    ]  # fmt: skip
    assert [line for line in found if "; expected " not in line and "; did you mean" not in line] == [
        "cluster.yaml:8: nodes[1].fencing.options.pcmk_host_list: is set from the node's name; leave it out"
    ]
