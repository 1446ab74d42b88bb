"""One node's side of a DRBD resource, and how well it runs.

Invariant: a replica is called well only if every word that DRBD says of it is one of the healthy ones. A word that is
not known here, such as one of a later version, counts as reduced and never as well.
"""

from __future__ import annotations

from kvmha.record import Record

PRIMARY, SECONDARY = "Primary", "Secondary"
"""DRBD's own words for the promoted and the unpromoted role."""

UP_TO_DATE, CONSISTENT, OUTDATED, INCONSISTENT = "UpToDate", "Consistent", "Outdated", "Inconsistent"
DISKLESS, UNKNOWN = "Diskless", "DUnknown"
PASSING = ("Attaching", "Detaching", "Negotiating")
"""States of a disk that say nothing yet of its data."""
LOST = (DISKLESS, "Failed", "Detaching")
"""States in which a replica has no disk of its own any more."""
OLDER = (OUTDATED, INCONSISTENT)
"""States that DRBD gives a disk only if another one is known to be newer."""

CONNECTED, STANDALONE = "Connected", "StandAlone"
IN_STEP = ("Established", "VerifyS", "VerifyT")
"""States of a replication that copies every write; the last two compare the disks beside it."""

WELL, REDUCED, FAILED = "well", "reduced", "failed"


class Volume(Record):
    """One device of a resource."""

    number: int
    minor: int
    disk: str
    is_client: bool = False
    """It has no disk here because the configuration gives it none (DRBD 9)."""
    is_open: bool | None = None
    """None: DRBD 8.4 does not tell."""
    has_quorum: bool | None = None
    """None: DRBD 8.4 knows no quorum. True also where none is configured."""
    size_kib: int | None = None
    """Told with statistics only."""


class PeerVolume(Record):
    """The same device on a peer, as this node sees it."""

    number: int
    replication: str = "Off"
    disk: str = UNKNOWN
    is_client: bool = False
    resync_suspended: str = "no"
    out_of_sync_kib: int | None = None
    """What the two sides do not have in common, as far as this node knows; told with statistics only."""
    percent_done: float | None = None
    """Of a resynchronisation or a verification that runs."""


class Peer(Record):
    """The connection to one other node."""

    name: str
    """The node's name in DRBD's configuration; ``peer`` where 8.4 has not been told one."""
    connection: str
    role: str = "Unknown"
    volumes: tuple[PeerVolume, ...] = ()

    @property
    def agrees(self) -> bool:
        """Tell whether both sides have compared what they hold, and know of each other since."""
        return (
            self.connection == CONNECTED
            and bool(self.volumes)
            and all(volume.disk not in (UNKNOWN, *PASSING) for volume in self.volumes)
        )

    @property
    def is_client(self) -> bool:
        """Tell whether the peer has no disk by intention, and so no data of its own."""
        return bool(self.volumes) and all(volume.is_client for volume in self.volumes)

    @property
    def is_up_to_date(self) -> bool:
        """Tell whether all data of the peer are current, and within reach."""
        return self.agrees and all(volume.disk == UP_TO_DATE for volume in self.volumes)


class Replica(Record):
    """This node's side of a DRBD resource."""

    resource: str
    role: str
    suspended: str = "no"
    """Why no I/O is done: DRBD's words ``user``, ``no-data``, ``fencing``, ``quorum``, joined by commas."""
    fails_io: bool = False
    """All I/O fails, because the device was demoted by force while it was open (DRBD 9)."""
    may_promote: bool | None = None
    """DRBD 9's own word for whether it could be promoted now; None where 8.4 does not tell."""
    promotion_score: int | None = None
    """DRBD 9's own figure, 0 for a replica that could not be promoted; None where 8.4 does not tell."""
    volumes: tuple[Volume, ...] = ()
    peers: tuple[Peer, ...] = ()

    @property
    def minors(self) -> tuple[int, ...]:
        """The minor numbers of its devices."""
        return tuple(volume.minor for volume in self.volumes)

    @property
    def is_promoted(self) -> bool:
        """Tell whether the devices can be written here."""
        return self.role == PRIMARY

    @property
    def is_up_to_date(self) -> bool:
        """Tell whether all data are current, and on this node's own disks."""
        return bool(self.volumes) and all(volume.disk == UP_TO_DATE for volume in self.volumes)

    @property
    def is_client(self) -> bool:
        """Tell whether this node has no disk by intention."""
        return bool(self.volumes) and all(volume.is_client for volume in self.volumes)


class Health(Record):
    """How well a replica runs, and in what it falls short."""

    level: str
    """One of WELL, REDUCED and FAILED."""
    reasons: tuple[str, ...] = ()


def health(replica: Replica, *, suspended_for: float, patience: float, split: tuple[str, ...] = ()) -> Health:
    """Judge a replica; ``suspended_for`` seconds its I/O has been suspended, of which ``patience`` are let pass;
    ``split`` are the peers that DRBD has found to have been written apart from it.
    """
    failed = _failures(replica, suspended_for, patience) if replica.is_promoted else []
    if failed:
        return Health(level=FAILED, reasons=tuple(failed))
    reduced = [short for peer in replica.peers if peer.name in split for short in _parted(peer)]
    reduced += _own_shortfalls(replica)
    reduced += [short for peer in replica.peers if peer.name not in split for short in _shortfalls(peer)]
    return Health(level=REDUCED if reduced else WELL, reasons=tuple(reduced))


def _failures(replica: Replica, suspended_for: float, patience: float) -> list[str]:
    if replica.fails_io:
        return ["all I/O fails since it was demoted by force"]
    if replica.suspended != "no":
        # What is suspended waits for something, such as a peer with the data, and does not fail.
        sentence = f"its I/O has been suspended for {suspended_for:.0f} s ({replica.suspended})"
        return [sentence] if suspended_for >= patience else []
    found = []
    for volume in replica.volumes:
        if volume.has_quorum is False:
            found.append(f"volume {volume.number} has no quorum, and its I/O fails")
        elif volume.disk != UP_TO_DATE and not _is_elsewhere(replica, volume.number):
            found.append(f"volume {volume.number} is {volume.disk}, and no peer has its data")
    return found


def _is_elsewhere(replica: Replica, number: int) -> bool:
    """Tell whether a peer within reach has current data of a volume."""
    return any(
        volume.number == number and volume.disk == UP_TO_DATE
        for peer in replica.peers
        if peer.connection == CONNECTED
        for volume in peer.volumes
    )


def _own_shortfalls(replica: Replica) -> list[str]:
    found = []
    if replica.suspended != "no":
        found.append(f"I/O is suspended ({replica.suspended})")
    if replica.fails_io:
        found.append("all I/O fails since it was demoted by force")
    for volume in replica.volumes:
        if volume.has_quorum is False:
            found.append(f"volume {volume.number} has no quorum")
        if volume.disk == DISKLESS and volume.is_client:
            continue
        if volume.disk != UP_TO_DATE:
            found.append(f"the disk of volume {volume.number} is {volume.disk}")
    return found


def _parted(peer: Peer) -> list[str]:
    return [f"split brain with {peer.name} ({peer.connection}): both were written since they parted (kvmha drbd heal)"]


def _shortfalls(peer: Peer) -> list[str]:
    if peer.connection == STANDALONE:
        return [f"{peer.name} is cut off (StandAlone): split brain, or disconnected by hand"]
    if peer.connection != CONNECTED:
        return [f"{peer.name} is not connected ({peer.connection})"]
    found = []
    for volume in peer.volumes:
        is_whole = volume.disk == UP_TO_DATE or volume.is_client
        if volume.replication in IN_STEP and is_whole:
            continue
        words = [volume.replication] if volume.replication not in IN_STEP else []
        if volume.percent_done is not None:
            words.append(f"{volume.percent_done:.1f} % done")
        if volume.resync_suspended != "no":
            words.append(f"held up ({volume.resync_suspended})")
        words += [] if is_whole else [f"its disk is {volume.disk}"]
        found.append(f"{peer.name}, volume {volume.number}: {', '.join(words)}")
    return found
