"""Where this node keeps what it knows of its peers' data: on its own disk, so that it is there after a power cut.

Not below /run, which goes with the boot after which it is needed; not in the cluster's configuration, of which a node
that comes back alone has an old copy; and not in DRBD's metadata, which hold no words of ours.
"""

from __future__ import annotations

from kvmha.policy.peer_data import STANDINGS, UNSEEN, Knowledge, PeerKnowledge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/var/lib/kvmha/drbd"


def path(resource: str) -> str:
    """Return where the account of a resource is kept."""
    return f"{FOLDER}/{resource.replace('/', '_')}"


def read(host: Host, resource: str) -> Knowledge:
    """Return what is kept; nothing known where there is nothing, or nothing that can be read."""
    try:
        text = host.read(path(resource))
    except OSError:
        return Knowledge()
    return parse(text)


def parse(text: str) -> Knowledge:
    """Read lines such as ``peer n2 equal Primary 1795404733.4 0``; what is not understood counts as not known."""
    life, role, since, accepted = "", "Unknown", 0.0, 0.0
    peers = []
    for line in text.split("\n"):
        words = line.split()
        if words[:1] == ["node"] and len(words) == 5:
            life, role = words[1], words[2]
            since, accepted = _time(words[3]), _time(words[4])
        elif words[:1] == ["peer"] and len(words) == 6:
            peers.append(
                PeerKnowledge(
                    name=words[1],
                    standing=words[2] if words[2] in STANDINGS else UNSEEN,
                    role=words[3],
                    since=_time(words[4]),
                    lost=_time(words[5]),
                )
            )
    return Knowledge(life=life, role=role, since=since, peers=tuple(peers), accepted=accepted)


def write(host: Host, resource: str, known: Knowledge) -> None:
    """Keep this, on the disk before it returns. Raises OSError."""
    host.write(path(resource), render(known), mode=0o600)


def render(known: Knowledge) -> str:
    """Return the text that ``parse`` reads."""
    lines = [f"node {known.life or '-'} {known.role or 'Unknown'} {known.since:.3f} {known.accepted:.3f}"]
    lines += [
        f"peer {peer.name} {peer.standing} {peer.role or 'Unknown'} {peer.since:.3f} {peer.lost:.3f}"
        for peer in known.peers
    ]
    return "\n".join(lines) + "\n"


def accept_loss(host: Host, resource: str, peers: tuple[str, ...], now: float) -> None:
    """Keep that an administrator has chosen this node's data, whatever these peers may hold. Raises OSError."""
    from kvmha.policy.peer_data import accept

    write(host, resource, accept(read(host, resource), peers, now=now))


def fenced(host: Host, resource: str, peers: tuple[str, ...], now: float) -> None:
    """Keep that these peers have been dealt with while this node had current data, and are behind. Raises OSError."""
    from kvmha.policy.peer_data import set_behind

    known = read(host, resource)
    after = set_behind(known, peers, now=now)
    if after != known:
        write(host, resource, after)


def _time(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0
