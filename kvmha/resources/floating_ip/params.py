"""The parameters of ocf:kvmha:FloatingIP."""

from __future__ import annotations

from kvmha.ocf.spec import Param

_FAILED_OR_DEGRADED = "One of failed (1: recover it, elsewhere if need be) or degraded (190: the cluster shows it)."

# In the order in which help pages show them: which address and where, start, announcements, health, stop.
PARAMS = (
    Param(
        name="ip", required=True, identity=True, unique_group="address",
        shortdesc="The address",
        longdesc="The IPv4 or IPv6 address, without a prefix length. Any spelling of it is the same address.",
    ),
    Param(
        name="cidr_netmask", kind="integer", minimum=1, maximum=128, identity=True,
        shortdesc="Length of the network prefix in bits",
        longdesc="""Length of the network prefix in bits. Not set: that of the network on the link which contains the
        address.""",
    ),
    Param(
        name="nic", identity=True,
        shortdesc="The link",
        longdesc="""The link that carries the address, by its name or by one of its alternative names. Not set: the link
        with another address whose network contains this one; that is looked for at start only.""",
    ),
    Param(
        name="broadcast", identity=True, default="+",
        shortdesc="IPv4 broadcast address",
        longdesc="""Broadcast address of an IPv4 address; + is the one that the prefix gives, - is none.""",
    ),
    Param(
        name="iflabel", identity=True,
        shortdesc="IPv4 label",
        longdesc="""Label of an IPv4 address: the part after the link's name and a colon. Both together have at most 15
        characters.""",
    ),
    Param(
        name="noprefixroute", kind="boolean", default="false", identity=True,
        shortdesc="Make no route to the network",
        longdesc="Do not let the kernel make a route to the address's network.",
    ),
    Param(
        name="metric", kind="integer", minimum=1, maximum=4_294_967_295, identity=True,
        shortdesc="Metric of the network's route",
        longdesc="Metric of the route to the address's network. Not set: the kernel's own.",
    ),
    Param(
        name="preferred_lft", default="forever", identity=True,
        shortdesc="Preferred lifetime, s",
        longdesc="""For how many seconds the address is preferred, or forever. With 0 the node answers on the address
        and does not choose it as the source of its own connections.""",
    ),
    Param(
        name="network_namespace", identity=True,
        shortdesc="Network namespace",
        longdesc="""Name of the network namespace (ip netns) in which the link is. Stop finds the address there even if
        the namespace has lost its name meanwhile.""",
    ),
    Param(
        name="lvs_support", kind="boolean", default="false", identity=True,
        shortdesc="Keep a stopped address on lo (LVS direct routing)",
        longdesc="""For LVS direct routing, IPv4 only: while it is stopped here the address stays on lo with a prefix of
        32 bits, so that this node serves what a director elsewhere sends it.""",
    ),
    Param(
        name="lvs_ipv6_addrlabel", kind="boolean", default="false", identity=True,
        shortdesc="Do not choose the address as a source (IPv6)",
        longdesc="""For LVS direct routing, IPv6 only: give the address a label of its own (ip addrlabel), so that it is
        not chosen as the source of the node's own connections.""",
    ),
    Param(
        name="lvs_ipv6_addrlabel_value", kind="integer", default="99", minimum=0, maximum=4_294_967_294, identity=True,
        shortdesc="Label of lvs_ipv6_addrlabel",
        longdesc="The label that lvs_ipv6_addrlabel gives.",
    ),
    Param(
        name="start_probe",
        shortdesc="Service that must answer before the address is added",
        longdesc="""tcp://HOST:PORT or http://HOST:PORT/PATH of the service behind the address. Start adds the address
        when the service accepts a connection, or answers with a status of less than 400; it fails if that does not
        happen in its time. Empty: the address does not wait.""",
    ),
    Param(
        name="duplicate_wait", kind="integer", default="20", minimum=0, maximum=5_000,
        shortdesc="Time to find another machine with the address, ms",
        longdesc="""How long start asks on the link, in milliseconds, whether another machine has the address, before it
        takes it (RFC 5227 for IPv4, neighbour solicitations for IPv6). It goes on listening while it announces. The
        start fails if one has it, and names that machine's Ethernet address. 0: do not ask.""",
    ),
    Param(
        name="nodad", kind="boolean", default="false",
        shortdesc="Do not look for an IPv6 duplicate",
        longdesc="Take an IPv6 address without asking whether another machine has it, as duplicate_wait=0 does.",
    ),
    Param(
        name="arp_count", kind="integer", default="3", minimum=0, maximum=100,
        shortdesc="Announcements at start",
        longdesc="""How many times the address is announced at start, as gratuitous ARP (request and reply) or as an
        unsolicited neighbour advertisement. 0: not at all.""",
    ),
    Param(
        name="arp_interval", kind="integer", default="50", minimum=1, maximum=10_000,
        shortdesc="Time between two announcements, ms",
        longdesc="Time between two announcements in milliseconds. The start action ends after the last one.",
    ),
    Param(
        name="arp_count_refresh", kind="integer", default="0", minimum=0, maximum=100,
        shortdesc="Announcements in every monitor",
        longdesc="How many times every monitor announces the address, IPv4 and IPv6 alike.",
    ),
    Param(
        name="announce_time", kind="integer", default="60", minimum=0, maximum=86_400,
        shortdesc="How long monitors announce after a start, s",
        longdesc="""For how many seconds after a start each monitor announces the address once more, for neighbours that
        missed the first ones, such as those behind a switch that was still learning. 0: not at all.""",
    ),
    Param(
        name="check_link_status", kind="boolean", default="true",
        shortdesc="Look at the carrier of the link",
        longdesc="""Look at the carrier of the link, and of the links below it: of what a VLAN lies on, of the members
        of a bond or team, and of the ports of a bridge that lead out of the node.""",
    ),
    Param(
        name="on_link_down", default="failed", choices=("failed", "degraded"),
        shortdesc="How an address without a carrier is judged",
        longdesc=f"""How an address is judged whose link leads nowhere. {_FAILED_OR_DEGRADED} A start on such a link
        fails, or goes on, accordingly.""",
    ),
    Param(
        name="on_member_down", default="degraded", choices=("running", "degraded"),
        shortdesc="How a bond that lost a member is judged",
        longdesc="""How an address is judged whose bond or team has a member without a carrier and still works: running
        (0) or degraded (190: the cluster shows it).""",
    ),
    Param(
        name="link_grace", kind="integer", default="0", minimum=0, maximum=3_600,
        shortdesc="How long the link or the gateway may be away, s",
        longdesc="""For how many seconds the link may be without a carrier, or the gateway silent, before the address is
        judged by that; until then it is degraded (190). A monitor that would be the last before the time is over waits
        for its end.""",
    ),
    Param(
        name="check_gateway",
        shortdesc="A neighbour that must answer",
        longdesc="""Address of a neighbour, such as the router, which every monitor asks by ARP or by a neighbour
        solicitation on the address's link. Empty: nobody is asked.""",
    ),
    Param(
        name="on_gateway_down", default="degraded", choices=("failed", "degraded"),
        shortdesc="How an address is judged whose gateway is silent",
        longdesc=f"""How an address is judged when check_gateway does not answer. {_FAILED_OR_DEGRADED} If the gateway
        itself failed, the address is no better off on another node.""",
    ),
    Param(
        name="on_conflict", default="degraded", choices=("failed", "degraded"),
        shortdesc="How an address is judged that another machine has as well",
        longdesc=f"""How an address is judged when a monitor of depth 10 finds another machine with it, which is named
        by its Ethernet address. {_FAILED_OR_DEGRADED} With degraded the address is announced again at once.""",
    ),
    Param(
        name="drop_connections", kind="boolean", default="false",
        shortdesc="Forget tracked connections at stop",
        longdesc="""After the address is removed, delete the tracked connections to it (conntrack -D, which has to be
        installed), so that none goes on through this node by what its firewall or NAT remembers.""",
    ),
    Param(
        name="flush_routes", kind="boolean", default="false",
        shortdesc="Flush learned routes at stop",
        longdesc="""After the address is removed, flush what the kernel has learned of routes (ip route flush cache):
        redirects and path MTUs.""",
    ),
)  # fmt: skip
