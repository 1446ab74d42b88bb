"""The way to another node, looked at and tried from this one, as far as this one is the guest's source."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.policy import forecast
from kvmha.policy.migration_path import Path
from kvmha.resources.virtual_domain import history, migration_order
from kvmha.tools import openssl, route, ssh
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cli.moving.sight import GuestSight
    from kvmha.host import Host

SYSCTL = "/proc/sys/vm/unprivileged_userfaultfd"
SSH_LIMIT = 10.0

CERTIFICATES = ("/etc/pki/libvirt-migrate", "/etc/pki/qemu")
"""Where libvirt has QEMU look for those of a move (qemu.conf(5): migrate_tls_x509_cert_dir and its default)."""


def look(host: Host, guest: GuestSight, target: str, *, here: str, is_let_in: bool, measures: bool) -> Path:
    """Return what is seen of the path; ``is_let_in``: the target's libvirt has just answered this node."""
    is_source = guest.nodes == (here,)
    address = _address(host, migration_order.stream_host(guest.agent, target)) if is_source else ""
    device = _device(host, address)
    mtu = route.link_mtu(host, device) if device else None
    speed, speed_from = _speed(host, guest, target, device, measures=measures and is_let_in and is_source)
    problem, is_expired = _tls(host) if guest.agent.param("migration_tls") and is_source else ("", False)
    return Path(
        address=address,
        device=device,
        mtu=mtu,
        carries_mtu=_carries(host, address, mtu),
        speed_mib_s=speed,
        speed_from=speed_from,
        tried_from=here if is_let_in else "",
        transport=guest.agent.param("migration_transport"),
        tls_problem=problem,
        is_tls_expired=is_expired,
        unprivileged_faults=_faults(host, target, here) if guest.agent.param("migration_mode") == "hybrid" else None,
    )


def _address(host: Host, name: str) -> str:
    try:
        return route.parse_lookup(host.run(*route.lookup_argv(name), timeout=route.LIMIT, ok=None).out)
    except CommandError:
        return ""


def _device(host: Host, address: str) -> str:
    try:
        return route.parse_route(host.run(*route.route_argv(address), timeout=route.LIMIT).out) if address else ""
    except CommandError:
        return ""


def _carries(host: Host, address: str, mtu: int | None) -> bool | None:
    try:
        return route.carries(host, address, mtu) if address and mtu else None
    except CommandError:
        return None


def _speed(host: Host, guest: GuestSight, target: str, device: str, *, measures: bool) -> tuple[float | None, str]:
    if measures:
        try:
            return guest.libvirt(target).path_mib_s(), "libvirt's own stream carried that just now, and QEMU's may more"
        except LibvirtError:
            pass
    past = history.read(host, guest.name)
    known = forecast.path_speed(past, guest.nodes[0], target, 0.0) if guest.nodes else 0.0
    if known:
        return known, "as in the moves before"
    card = route.link_speed_mib_s(host, device) if device else None
    return (card, f"what {device} carries at best") if card else (None, "")


def _tls(host: Host) -> tuple[str, bool]:
    """Return what is wrong with this node's certificates for a move, and whether one has ended."""
    folder = next((each for each in CERTIFICATES if host.exists(f"{each}/ca-cert.pem")), "")
    if not folder:
        said = (
            f"migration_tls is set, and neither {CERTIFICATES[0]} nor {CERTIFICATES[1]} has a ca-cert.pem here: unless "
            "qemu.conf names another folder, the move fails"
        )
        return said, False
    # Where there is none for the client, the server's serves for both (libvirt's tlscerts).
    own = next((name for name in ("client-cert.pem", "server-cert.pem") if host.exists(f"{folder}/{name}")), "")
    if not own:
        return f"migration_tls is set, and {folder} has neither client-cert.pem nor server-cert.pem here", False
    for name in ("ca-cert.pem", own):
        try:
            if openssl.has_ended(host, f"{folder}/{name}"):
                return f"{folder}/{name} has expired, so that the target's QEMU would refuse the move", True
            if openssl.has_ended(host, f"{folder}/{name}", within=openssl.WEEK):
                return f"{folder}/{name} expires within a week", False
        except CommandError as error:
            return f"{folder}/{name} could not be looked at: {error}", False
    return "", False


def _faults(host: Host, target: str, here: str) -> str:
    """Return the target's setting for post-copy; empty where it cannot be read."""
    try:
        if here == target:
            return host.read(SYSCTL).strip()
        done = host.run(*ssh.argv(target, "cat", SYSCTL), timeout=SSH_LIMIT, ok=None)
    except (OSError, CommandError):
        return ""
    return done.out.strip() if done.rc == 0 and done.out.strip().isdigit() else ""
