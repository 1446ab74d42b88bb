"""Fields of cluster.yaml about what lies around the cluster: alerts, the second site, and the hosts themselves."""

from __future__ import annotations

from kvmha.cluster import words
from kvmha.cluster.document import Field
from kvmha.cluster.fields.records import Site, Ticket
from kvmha.cluster.fields.rows import amount, choice, flag, resource_name

ALERT = (
    resource_name("The name of the alert."),
    Field(name="path", parse=words.absolute_path, required=True,
          help="The program that is called, under the same path on every node.",
          expects="an absolute path"),
    Field(name="recipients", shape="values", default=(),
          help="Who is told: what the program takes as CRM_alert_recipient, such as a mail address.",
          expects="a list of recipients"),
    Field(name="options", shape="options", default={},
          help="Variables in the program's environment.",
          expects="the program's options"),
    amount("timeout", "seconds", 1, 3600, default=30, help="How long one call may take."),
)  # fmt: skip

SITE = (
    Field(name="name", parse=words.xml_id, required=True,
          help="The site's name, for people.",
          expects="a letter or _, then letters, digits, dots, _ and -"),
    Field(name="address", parse=words.address, required=True,
          help="The floating address of the site's booth.",
          expects="an IPv4 or IPv6 address"),
)  # fmt: skip

BOOTH_TICKET = (
    Field(name="name", parse=words.ticket_name, required=True,
          help="The ticket's name; guests and addresses refer to it.",
          expects="a letter or _, then at most 62 letters, digits, _ and -"),
    amount("expire", "seconds", 30, 86_400, default=300,
           help="How long a site keeps the ticket that the others do not hear from; until then nobody else gets it."),
    amount("acquire_after", "seconds", 0, 86_400, default=120,
           help="How long the other site waits after that, while the site that lost the ticket fences or stops what "
           "ran there. Shorter than that takes, and a guest runs twice."),
    amount("timeout", "seconds", 1, 600, default=10, help="How long booth waits for an answer."),
    amount("retries", "", 3, 100, default=5, help="How often booth asks before it gives up."),
    choice("loss_policy", ("fence", "stop", "freeze", "demote"), default="fence",
           help="What becomes of what runs here when the ticket is lost. fence is the fastest, and the only one that "
           "does not depend on a clean stop."),
)  # fmt: skip

BOOTH = (
    Field(name="here", parse=words.xml_id, required=True,
          help="The name of the site that this cluster is.",
          expects="the name of a site in booth.sites"),
    Field(name="nic", parse=words.interface, required=True,
          help="The interface that carries this site's address.",
          expects="the name of a network interface"),
    Field(name="cidr_netmask", parse=words.number(1, 128), required=True,
          help="The length of the prefix of this site's address.",
          expects="a prefix length, such as 24"),
    Field(name="sites", shape="records", inner=SITE, make=Site, required=True,
          help="All sites, the same list at each of them.",
          expects="a list of sites with name and address"),
    Field(name="arbitrators", shape="values", parse=words.address, default=(),
          help="Hosts at further places that vote; two sites need one.",
          expects="a list of addresses"),
    Field(name="tickets", shape="records", inner=BOOTH_TICKET, make=Ticket, required=True,
          help="The tickets, the same list at every site.",
          expects="a list of tickets"),
    amount("port", "", 1, 65_535, default=9929, help="The UDP and TCP port of booth."),
)  # fmt: skip

HOSTS = (
    Field(name="time_servers", shape="values", parse=words.host, default=(),
          help="Servers that chrony takes the time from. The nodes ask one another as well.",
          expects="a list of host names or addresses"),
    amount("hugepages", "", 0, 100_000_000,
           help="Huge pages of 2 MiB set aside at boot for guests that use them."),
    amount("panic", "seconds", 0, 300, default=10,
           help="How long after a kernel panic the node reboots; 0 is never."),
    flag("firewall", default=True,
         help="Whether an nftables table is rendered that keeps everyone but the nodes from the cluster's ports."),
    choice("power_button", ("ignore", "poweroff"), default="ignore",
           help="What logind does when the power button is pressed. Many a fence device presses it, and a node that "
           "then shuts down in good order makes its fencing slow."),
)  # fmt: skip
