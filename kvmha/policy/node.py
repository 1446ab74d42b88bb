"""What a node says of itself, as far as it matters for the cluster's configuration.

Invariant: None is "not known", everywhere; nothing that could not be looked at counts as well.
"""

from __future__ import annotations

from kvmha.policy.guest_needs import GuestNeeds
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class Unit(Record):
    """A unit of systemd; one that is not installed has no fields that say yes."""

    name: str
    is_installed: bool = False
    is_active: bool = False
    is_enabled: bool = False
    after: tuple[str, ...] = ()
    start_timeout_s: float | None = None
    """None for no limit."""
    stop_timeout_s: float | None = None


class LinkAddress(Record):
    """An address of the node that corosync.conf names, and the interface that has it."""

    address: str
    interface: str
    mtu: int
    prefix: int


class Watchdog(Record):
    """The watchdog that sbd would use."""

    device: str
    identity: str = ""
    """What its driver calls itself."""
    timeout_s: int | None = None


class Definition(Record):
    """A guest's definition as the node has it."""

    path: str
    name: str = ""
    uuid: str = ""
    memory_mib: int | None = None
    digest: str = ""
    needs: GuestNeeds | None = None
    """What else it needs of its host."""
    error: str = ""
    """Why it cannot be read."""


class NodeFacts(Record):
    """One node, as it was when it was asked."""

    node: str
    """The name by which it was asked."""
    uname: str | None = None
    """What `uname -n` says."""
    corosync_conf: str | None = None
    """A digest of the node's corosync.conf."""
    runtime: Mapping[str, int] | None = None
    """The times with which the node's corosync runs, by the keys of corosync's map without their prefix."""
    expected_votes: int | None = None
    """The votes that the node's corosync expects at the moment."""
    is_clock_synchronised: bool | None = None
    power_key: str | None = None
    """What logind does at a press of the power button: ignore, poweroff and others (logind.conf(5))."""
    units: tuple[Unit, ...] | None = None
    addresses: tuple[LinkAddress, ...] | None = None
    autostarted: tuple[str, ...] | None = None
    """Names of the guests that libvirt starts by itself."""
    definitions: tuple[Definition, ...] | None = None
    watchdog: Watchdog | None = None
    has_watchdog: bool | None = None
    sbd: Mapping[str, str] | None = None
    """The settings of /etc/default/sbd or /etc/sysconfig/sbd; empty where there is no such file."""
    sbd_header: Mapping[str, int] | None = None
    """The times on the first SBD disk in seconds: watchdog, allocate, loop, msgwait."""
    drbd: str | None = None
    """The node's DRBD configuration as `drbdadm dump` prints it; empty for none."""
    booth: str | None = None
    """The node's booth.conf, without anything secret; empty for none."""
    memory_mib: int | None = None
    why_unknown: Mapping[str, str] = {}
    """By the name of a field, why it is not known."""

    def unit(self, name: str) -> Unit | None:
        """Return a unit, None where units are not known."""
        if self.units is None:
            return None
        return next((unit for unit in self.units if unit.name == name), Unit(name=name))


def from_plain(values: Mapping[str, Any]) -> NodeFacts:
    """Return the facts that ``record.plain`` has made of NodeFacts. Raises KeyError, TypeError or ValueError."""
    inner: dict[str, Callable[..., Any]] = {"units": Unit, "addresses": LinkAddress, "definitions": _definition}
    made = dict(values)
    for name, kind in inner.items():
        if made.get(name) is not None:
            made[name] = tuple(kind(**_tuples(each)) for each in made[name])
    if made.get("watchdog") is not None:
        made["watchdog"] = Watchdog(**made["watchdog"])
    return NodeFacts(**_tuples(made))


def _definition(**values: Any) -> Definition:
    needs = values.get("needs")
    return Definition(**{**values, "needs": None if needs is None else GuestNeeds(**_tuples(needs))})


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
