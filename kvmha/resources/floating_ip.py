"""ocf:kvmha:FloatingIP, an address that moves with a service.

Invariant: stop and monitor look for the address on every link and need neither a route nor a link's name; a successful
stop has seen that no link carries it.
"""

from __future__ import annotations

from kvmha.ocf import codes
from kvmha.ocf.agent import Agent, OcfError
from kvmha.ocf.spec import Action, Param
from kvmha.tools import ip

POLL = 0.05
"""Seconds between two looks at an IPv6 address whose uniqueness the kernel still checks."""

ANNOUNCE_RESERVE = 2.0
"""Seconds of a start that announcements leave alone."""


class FloatingIP(Agent):
    """The agent: a table, and one method for each action."""

    name = "FloatingIP"
    shortdesc = "Manages an IPv4 or IPv6 address that moves between nodes"
    longdesc = """
    Configures an IPv4 or IPv6 address on one node and announces it to the neighbours, so that clients
    reach the node where the service is.

    Stop and monitor find the address on whatever link it is, without a route and without the link's name; stop
    succeeds only when no link of the node carries the address any more.
    """
    params = (
        Param(
            name="ip", required=True, identity=True, unique_group="address",
            shortdesc="The address",
            longdesc="The IPv4 or IPv6 address, without a prefix length.",
        ),
        Param(
            name="cidr_netmask", kind="integer", minimum=1, maximum=128, identity=True,
            shortdesc="Length of the network prefix in bits",
            longdesc="""Length of the network prefix in bits. Not set: that of the network on the link which contains
            the address.""",
        ),
        Param(
            name="nic", identity=True,
            shortdesc="The link",
            longdesc="""The link that carries the address. Not set: the link with another address whose network
            contains this one, looked for at start only.""",
        ),
        Param(
            name="arp_count", kind="integer", default="3", minimum=0, maximum=100,
            shortdesc="Announcements at start",
            longdesc="""How many times the address is announced at start, as gratuitous ARP or as an unsolicited
            neighbour advertisement. 0: not at all.""",
        ),
        Param(
            name="arp_interval", kind="integer", default="50", minimum=1, maximum=10_000,
            shortdesc="Time between two announcements, ms",
            longdesc="Time between two announcements in milliseconds. The start action ends after the last one.",
        ),
    )  # fmt: skip
    actions = (
        Action(name="start", timeout=20),
        Action(name="stop", timeout=20),
        Action(name="monitor", timeout=20, interval=10, depth=0),
        Action(name="reload-agent", timeout=20),
        Action(name="validate-all", timeout=10),
        Action(name="meta-data", timeout=5),
    )

    def validate_all(self) -> int:
        """Check what no row of the table can check alone."""
        self._check_params()
        return codes.SUCCESS

    def reload_agent(self) -> int:
        """Take over changed parameters: each action reads them anew, so there is nothing to do."""
        return self.validate_all()

    def monitor(self) -> int:
        """Tell whether the address is configured here, and where it should be."""
        seen = self._seen()
        if not seen:
            return codes.NOT_RUNNING
        for address in seen:
            reason = self._why_not_well(address)
            if reason:
                self.report.exit_reason(reason)
                return codes.ERR_GENERIC
        return codes.SUCCESS

    def start(self) -> int:
        """Configure the address, and announce it once the kernel lets it be used."""
        self._check_params()
        seen = self._seen()
        if seen:
            code = self.monitor()
            if code == codes.SUCCESS:
                self._announce(seen[0])
            return code
        wanted = self._place()
        self.host.run(*ip.link_up_argv(wanted.link), timeout=ip.TIMEOUT)
        self.host.run(*ip.add_argv(wanted), timeout=ip.TIMEOUT)
        self._wait_until_usable(wanted)
        self._announce(wanted)
        self.report.log(f"added {wanted.address}/{wanted.prefix} to {wanted.link}")
        return codes.SUCCESS

    def stop(self) -> int:
        """Remove the address from every link that carries it, and see that it has gone."""
        for address in self._seen():
            # Another hand, or the link's own end, may be faster than we are; what counts is the look afterwards.
            self.host.run(*ip.delete_argv(address), timeout=ip.TIMEOUT, ok=None)
            self.report.log(f"removed {address.address}/{address.prefix} from {address.link}")
        left = self._seen()
        if left:
            raise OcfError(codes.ERR_GENERIC, f"{left[0].address} is still on {left[0].link} after its removal")
        return codes.SUCCESS

    def _seen(self) -> tuple[ip.Address, ...]:
        """Return every place on this node where the address is."""
        address = self.param("ip")
        if not address:
            raise OcfError(codes.ERR_CONFIGURED, "ip is not set")
        return ip.places(self.host, address)

    def _why_not_well(self, seen: ip.Address) -> str | None:
        nic, prefix = self.param("nic"), self.param("cidr_netmask")
        if "dadfailed" in seen.flags:
            return f"{seen.address} on {seen.link} is in use by another machine (IPv6 duplicate address detection)"
        if nic and seen.link != nic:
            return f"{seen.address} is on {seen.link} and not on nic={nic}"
        if prefix and seen.prefix != prefix:
            return f"{seen.address} on {seen.link} has the prefix length {seen.prefix} and not cidr_netmask={prefix}"
        return None

    def _check_params(self) -> None:
        import ipaddress

        text, prefix, nic = self.param("ip"), self.param("cidr_netmask"), self.param("nic")
        try:
            address = ipaddress.ip_address(text)
            if "%" in text:
                raise ValueError(text)
        except ValueError:
            reason = f'ip="{text}" is not an IPv4 or IPv6 address such as 192.0.2.10'
            raise OcfError(codes.ERR_CONFIGURED, reason) from None
        wrong = []
        if address.is_multicast or address.is_unspecified or address.is_loopback:
            wrong.append(f'ip="{text}" is not an address that a node can take over')
        if prefix is not None and prefix > address.max_prefixlen:
            wrong.append(f'cidr_netmask="{prefix}" is more than the {address.max_prefixlen} bits of ip={text}')
        # IFNAMSIZ in linux/if.h: 15 characters and the final NUL.
        if len(nic) > 15 or any(character.isspace() or character == "/" for character in nic):
            wrong.append(f'nic="{nic}" is not a link name of at most 15 characters')
        if wrong:
            raise OcfError(codes.ERR_CONFIGURED, "; ".join(wrong))

    def _place(self) -> ip.Address:
        """Return where the address belongs: as told, or beside the address whose network contains it."""
        import ipaddress

        address = ipaddress.ip_address(self.param("ip"))
        nic, prefix = self.param("nic"), self.param("cidr_netmask")
        if nic and prefix:
            return ip.Address(link=nic, address=str(address), prefix=prefix)
        for beside in ip.addresses(self.host):
            if nic and beside.link != nic:
                continue
            network = ipaddress.ip_network(f"{beside.address}/{beside.prefix}", strict=False)
            if network.version == address.version and address in network and beside.prefix < address.max_prefixlen:
                return ip.Address(link=beside.link, address=str(address), prefix=prefix or beside.prefix)
        where = f"on nic={nic}" if nic else "on any link"
        raise OcfError(
            codes.ERR_GENERIC,
            f"no network that contains ip={address} {where}: set nic and cidr_netmask, or configure the network",
        )

    def _wait_until_usable(self, wanted: ip.Address) -> None:
        """Wait for the kernel's duplicate address detection, which only IPv6 has."""
        while self.left() > POLL:
            seen = [address for address in self._seen() if address.link == wanted.link]
            if not seen:
                raise OcfError(codes.ERR_GENERIC, f"{wanted.address} is not on {wanted.link} after it was added")
            reason = self._why_not_well(seen[0])
            if reason:
                self.host.run(*ip.delete_argv(seen[0]), timeout=ip.TIMEOUT, ok=None)
                raise OcfError(codes.ERR_GENERIC, reason)
            if "tentative" not in seen[0].flags:
                return
            self.host.sleep(POLL)
        raise OcfError(codes.ERR_GENERIC, f"{wanted.address} on {wanted.link} is still tentative")

    def _announce(self, address: ip.Address) -> None:
        from kvmha.tools import neighbour

        interval = self.param("arp_interval") / 1000
        # However many are wished for, the start has to end in its time.
        count = min(self.param("arp_count"), 1 + int(self.left(ANNOUNCE_RESERVE) / interval))
        try:
            neighbour.announce(self.host, address.link, address.address, count=count, interval=interval)
        except OSError as error:
            # The address works without it; neighbours with an old entry find the new place when it ages.
            self.report.log(f"could not announce {address.address} on {address.link}: {error}", warning=True)
