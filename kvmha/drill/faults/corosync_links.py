"""The links of corosync on this node, and which interfaces carry them."""

from __future__ import annotations

from kvmha.drill.faults.plan import LIMIT, here
from kvmha.errors import UserError
from kvmha.tools import corosync_conf, ip_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host


def links(host: Host) -> dict[str, dict[str, str]]:
    """Return the address of each node on each link, by link and node, as this node's corosync.conf has them."""
    found: dict[str, dict[str, str]] = {}
    for node in corosync_conf.read(host).section("nodelist").all("node"):
        name = node.value("name")
        for number in range(8):
            address = node.value(f"ring{number}_addr")
            if address:
                found.setdefault(str(number), {})[name] = address
    return found


def interfaces(host: Host, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the interfaces that carry links on this node, all links' where none is named. Raises UserError."""
    name = here(host)
    known = links(host)
    of_address = {each.address: each.interface for each in ip_address.look(host, timeout=LIMIT)}
    found = []
    for number in wanted or sorted(known):
        address = known.get(number, {}).get(name)
        if address is None:
            raise UserError(f"there is no link {number} of {name}; the links are {', '.join(sorted(known))}")
        if address not in of_address:
            raise UserError(f"link {number} has the address {address}, which no interface of {name} has")
        found.append(of_address[address])
    return tuple(dict.fromkeys(found))
