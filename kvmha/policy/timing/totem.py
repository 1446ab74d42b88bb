"""corosync's times: what follows from token and consensus, by the formulae of its own source.

Sources: corosync.conf(5) and exec/totemconfig.c for the totem protocol and knet's links, votequorum(5) for two nodes,
corosync-qdevice(8), qdevices/qdevice-net-instance.c and qnetd-client-dpd-timer.c for the quorum device. Milliseconds.
"""

from __future__ import annotations

from kvmha.record import Record

TOKEN_MS, COEFFICIENT_MS, CONSENSUS_FACTOR = 3000, 650, 1.2
RETRANSMITS, JOIN_MS, MERGE_MS, PONG_COUNT = 4, 50, 200, 2

QDEVICE_TIMEOUT_MS, QDEVICE_SYNC_MS = 10_000, 30_000
HEARTBEAT_SHARE, DPD_FACTOR = 0.8, 1.5
"""qdevice sends a heartbeat after 0.8 of quorum.device.timeout, and qnetd gives a client up after 1.5 heartbeats."""


class Link(Record):
    """One of knet's links: what corosync.conf says of it, and what holds then."""

    number: int
    ping_interval: int
    ping_timeout: int
    pong_count: int
    is_set: bool = False
    """Written in corosync.conf instead of following the token."""

    @property
    def down_ms(self) -> int:
        """How long a dead link may carry on: a ping has just been answered, and the next gets no answer."""
        return self.ping_interval + self.ping_timeout


class Totem(Record):
    """What holds for a ring of so many nodes."""

    nodes: int
    configured: int
    coefficient: int
    token: int
    consensus: int
    consensus_is_set: bool
    retransmits: int
    retransmit: int
    """How often a lost token is sent again before it counts as lost."""
    join: int
    links: tuple[Link, ...]

    @property
    def lost_ms(self) -> int:
        """How long after its last sign of life a node is out of the membership at the latest."""
        return self.token + self.consensus

    @property
    def hold(self) -> int:
        """How long a token rests on a quiet ring, and so how long before its death a node may have been heard last."""
        return max(int(self.retransmit * 0.8) - 10, 0)

    @property
    def token_chain(self) -> str:
        """Say how the token came about."""
        if self.nodes > 2 and self.coefficient:
            more = f" + {self.nodes - 2} x coefficient {self.coefficient}"
            return f"token {self.configured}{more} = {self.token} ms"
        return f"token {self.token} ms"

    @property
    def lost_chain(self) -> str:
        """Say how lost_ms came about."""
        how = "" if self.consensus_is_set else f" = {CONSENSUS_FACTOR:g} x token"
        return f"{self.token_chain}; consensus {self.consensus} ms{how}; token + consensus = {self.lost_ms} ms"


class QuorumDevice(Record):
    """A quorum device's times."""

    timeout: int = QDEVICE_TIMEOUT_MS
    sync_timeout: int = QDEVICE_SYNC_MS

    @property
    def heartbeat(self) -> int:
        """How often a node reports to qnetd."""
        return int(self.timeout * HEARTBEAT_SHARE)

    @property
    def forgotten_ms(self) -> int:
        """When qnetd gives up a node that says nothing any more; ffsplit gives the others no vote before."""
        return int(self.heartbeat * DPD_FACTOR)

    @property
    def chain(self) -> str:
        """Say how forgotten_ms came about."""
        return (
            f"quorum device timeout {self.timeout} ms x {HEARTBEAT_SHARE:g} = heartbeat {self.heartbeat} ms; "
            f"x {DPD_FACTOR:g} = {self.forgotten_ms} ms until qnetd gives up a silent node"
        )


def totem(
    nodes: int,
    *,
    token: int | None = None,
    coefficient: int | None = None,
    consensus: int | None = None,
    retransmits: int | None = None,
    join: int | None = None,
    links: tuple[tuple[int, int | None, int | None, int | None], ...] = ((0, None, None, None),),
) -> Totem:
    """Return what holds when these are set and None is left to corosync.

    A link is its number, ping interval, ping timeout and pong count. The coefficient counts from the third node on,
    and only with a list of nodes.
    """
    configured = TOKEN_MS if token is None else token
    each = COEFFICIENT_MS if coefficient is None else coefficient
    effective = configured + max(nodes - 2, 0) * each
    tries = retransmits or RETRANSMITS
    return Totem(
        nodes=nodes,
        configured=configured,
        coefficient=each,
        token=effective,
        consensus=int(effective * CONSENSUS_FACTOR) if consensus is None else consensus,
        consensus_is_set=consensus is not None,
        retransmits=tries,
        retransmit=int(effective / (tries + 0.2)),
        join=JOIN_MS if join is None else join,
        links=tuple(_link(effective, *link) for link in links),
    )


def _link(token: int, number: int, interval: int | None, timeout: int | None, pongs: int | None) -> Link:
    count = pongs or PONG_COUNT
    return Link(
        number=number,
        ping_interval=interval or token // (count * 2),
        ping_timeout=timeout or token // count,
        pong_count=count,
        is_set=bool(interval or timeout),
    )
