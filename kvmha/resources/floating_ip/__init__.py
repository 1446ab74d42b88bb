"""ocf:kvmha:FloatingIP, an address that moves with a service.

Invariant: stop and monitor look for the address on every link and need neither a route nor a link's name; "not running"
and a successful stop mean that the kernel has been asked and no link carries the address. Which address that is comes
from the parameters, or, where the cluster has lost them, from what was written down before the address was added.
"""

from __future__ import annotations

from kvmha.ocf import codes, state_file
from kvmha.ocf.agent import Agent, OcfError
from kvmha.ocf.spec import Action
from kvmha.resources.floating_ip import watching
from kvmha.resources.floating_ip.params import PARAMS
from kvmha.tools import rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.network import Address, Link

LO = 1
"""The index of the loopback link in every network namespace (LOOPBACK_IFINDEX in net/flow.h)."""


class FloatingIP(Agent):
    """The agent: a table, and one method for each action."""

    name = "FloatingIP"
    shortdesc = "Manages an IPv4 or IPv6 address that moves between nodes"
    longdesc = """
    Configures an IPv4 or IPv6 address on one node and announces it to the neighbours, so that clients
    reach the node where the service is.

    Stop and monitor find the address on whatever link it is, without a route and without the link's name; stop
    succeeds only when no link of the node carries the address any more. Start does not take an address that another
    machine has, and the monitor looks at the carrier of the very links that the address depends on.
    """
    params = PARAMS
    actions = (
        Action(name="start", timeout=20),
        Action(name="stop", timeout=20),
        Action(name="monitor", timeout=20, interval=10, depth=0),
        Action(name="monitor", timeout=20, interval=60, depth=10),
        Action(name="reload-agent", timeout=20),
        Action(name="validate-all", timeout=10),
        Action(name="meta-data", timeout=5),
    )

    # ----------------------------------------------------------------- actions

    def wrong(self) -> list[str]:
        """Return what is wrong with the parameters beyond what their rows refuse."""
        from kvmha.resources.floating_ip import validation

        return validation.wrong(self)

    def monitor(self) -> int:
        """Tell whether the address is configured here, and where it should be, and whether it can be reached."""
        ip = self.ip
        if self.namespace and not self.enter_namespace(self.namespace):
            return codes.NOT_RUNNING
        return watching.look(self, ip)

    def start(self) -> int:
        """Configure the address where nobody else has it, and tell the neighbours."""
        from kvmha.resources.floating_ip import placing

        if self.namespace and not self.enter_namespace(self.namespace):
            raise OcfError(codes.ERR_GENERIC, f"there is no network namespace {self.namespace} on this node")
        return placing.start(self)

    def stop(self) -> int:
        """Remove the address from every link that carries it, and see that it has gone."""
        from kvmha.resources.floating_ip import removing

        ips = self._all_ips()
        if not self.namespace:
            removing.remove(self, ips)
        for name in (self.namespace, self.earlier_namespace()):
            for path in self.paths_to(name):
                self.enter(path)
                removing.remove(self, ips)
        self.forget()
        return codes.SUCCESS

    # ------------------------------------------------------------ what and where

    @property
    def ip(self) -> str:
        """The address: as told, or as it was written down at start where nothing tells."""
        ip = str(self.param("ip")) or self.known().get("ip", "")
        if not ip:
            raise OcfError(codes.ERR_CONFIGURED, "ip is not set")
        return ip

    def earlier_ip(self) -> str:
        """Return the address that this very resource started here before its parameter changed, or nothing.

        Whoever calls the agent by hand without naming an instance may mean several addresses.
        """
        known = self.known().get("ip", "")
        is_other = rtnetlink.packed(known) != rtnetlink.packed(self.ip)
        return known if known and is_other and self.env.instance != "default" else ""

    def _all_ips(self) -> list[str]:
        return [ip for ip in (self.ip, self.earlier_ip()) if ip]

    def places(self, ip: str) -> tuple[Address, ...]:
        """Return every place on this node where an address is in service."""
        found = rtnetlink.places(ip)
        return tuple(place for place in found if not self.is_parked(place)) if self.param("lvs_support") else found

    def is_parked(self, place: Address) -> bool:
        """Tell whether an address lies on lo as one that is stopped here does for LVS direct routing."""
        return bool(self.param("lvs_support")) and place.index == LO and place.prefix == 32

    def link(self, index: int) -> Link:
        """Return a link by its number. Raises OcfError where it has just gone."""
        found = rtnetlink.link(index)
        if found is None:
            raise OcfError(codes.ERR_GENERIC, f"link {index} went away while it was looked at")
        return found

    @property
    def namespace(self) -> str:
        """The network namespace: as told, or as it was written down where not even the address is told."""
        return str(self.param("network_namespace")) or ("" if self.param("ip") else self.known().get("namespace", ""))

    def earlier_namespace(self) -> str:
        """Return the namespace in which this resource started the address before its parameter changed, or nothing."""
        known = self.known().get("namespace", "")
        return known if known != self.namespace and self.env.instance != "default" else ""

    def paths_to(self, name: str) -> list[str]:
        """Return every path by which a namespace is to be found; none if there is none, or no name."""
        from kvmha.resources.floating_ip import namespace

        return namespace.paths(self, name) if name else []

    def enter(self, path: str) -> None:
        """Go into a namespace with this process and all that it starts. Raises OSError."""
        from kvmha.tools import netns

        netns.enter(path)

    def enter_namespace(self, name: str) -> bool:
        """Go into a namespace by its name; tell whether there is one."""
        paths = self.paths_to(name)
        if paths:
            self.enter(paths[0])
        return bool(paths)

    # --------------------------------------------------------------- remembered

    def known(self) -> dict[str, str]:
        """Return what this resource wrote down on this node; nothing where it has started nothing."""
        return state_file.read(self.host, self.name, self.env.instance)

    def remember(self, **words: str) -> None:
        """Write down words beside those that are known; an empty one is forgotten."""
        state_file.write(self.host, self.name, self.env.instance, {**self.known(), **words})

    def forget(self) -> None:
        """Forget all that was written down."""
        state_file.remove(self.host, self.name, self.env.instance)
