"""Nodes become a cluster without pcs: the files are put in place by ssh as root, which is how crmsh reaches nodes too.

Every node is looked at before anything is written. Keys that a node has already are kept, so that a run which was
interrupted goes on with them, and one that is killed anywhere is simply started again.
"""

from __future__ import annotations

import base64
import os

from kvmha.errors import UserError
from kvmha.host import CommandError, CommandFailed
from kvmha.record import Record
from kvmha.tools import corosync_conf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kvmha.cluster.apply_plan import Wanted
    from kvmha.host import Host

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
ASK_LIMIT = 30.0
START_LIMIT = 180.0

CERTIFICATES = "/etc/corosync/qdevice/net/nssdb"
"""Where corosync-qdevice-net-certutil(8) puts what the node needs to be known to qnetd."""

KEY_BYTES = 128
"""Random bytes of a new key, written in hexadecimal: corosync.conf(5) takes keys of 128 to 4096 bytes."""

LOOK = """\
for file in corosync/corosync.conf corosync/authkey pacemaker/authkey; do
    echo "file $(base64 --wrap=0 "/etc/$file" 2>/dev/null)"
done
"""

# The contents come by standard input, and printf is the shell's own, so that no key shows in a list of processes.
PUT = """\
set -e
umask 077
put() {
    printf %s "$1" | base64 --decode >"$2.new"
    chown "$3" "$2.new"
    chmod "$4" "$2.new"
    mv "$2.new" "$2"
}
read -r conf
read -r key
read -r other
install --directory --mode=755 /etc/corosync
install --directory --mode=750 --owner=hacluster --group=haclient /etc/pacemaker
put "$other" /etc/pacemaker/authkey hacluster:haclient 640
put "$key" /etc/corosync/authkey root:root 400
put "$conf" /etc/corosync/corosync.conf root:root 644
corosync -t >&2
"""

PUT_CONF = """\
set -e
cat >/etc/corosync/corosync.conf.new
chmod 644 /etc/corosync/corosync.conf.new
mv /etc/corosync/corosync.conf.new /etc/corosync/corosync.conf
corosync -t >&2
"""


class Found(Record):
    """What a node has of the three files; bytes, empty for what is not there."""

    conf: bytes
    key: bytes
    other: bytes


def run(host: Host, wanted: Wanted, progress: Callable[[str], None]) -> None:
    """Put the files of the cluster on all nodes and start it. Raises UserError."""
    names = tuple(node.name for node in wanted.description.nodes)
    progress("look at all nodes by ssh, since pcs is not installed")
    found = {name: _look(host, name) for name in names}
    _refuse_foreign(wanted, found)
    _need_certificates(host, wanted)
    key = _key(each.key for each in found.values())
    other = _key(each.other for each in found.values())
    for name in names:
        progress(f"configure {name}")
        _on(host, name, PUT, given="".join(f"{_packed(each)}\n" for each in (wanted.corosync.encode(), key, other)))
    services = ["corosync", *(["corosync-qdevice"] if _device(wanted) else []), "pacemaker"]
    for name in names:
        progress(f"start the cluster on {name}, now and at boot")
        words = " ".join(services)
        _on(host, name, f"systemctl --quiet enable {words} && systemctl start {words}", limit=START_LIMIT)


def change_corosync(host: Host, names: tuple[str, ...], values: Mapping[str, str | None]) -> None:
    """Change totem in the file of every node, and have corosync read it while it runs. Raises UserError."""
    found = {name: _look(host, name).conf.decode(errors="replace") for name in names}
    for name, text in found.items():
        _on(host, name, PUT_CONF, given=corosync_conf.with_totem(text, values))
    # One node tells all of them (corosync-cfgtool(8), -R).
    try:
        host.run("corosync-cfgtool", "-R", timeout=ASK_LIMIT)
    except CommandError as error:
        raise UserError(f"the files are changed, but corosync did not read them: {error}") from None


def _look(host: Host, name: str) -> Found:
    lines = [line for line in _on(host, name, LOOK).splitlines() if line.split(" ")[0] == "file"]
    conf, key, other = (base64.b64decode(line.partition(" ")[2]) for line in lines)
    return Found(conf=conf, key=key, other=other)


def _refuse_foreign(wanted: Wanted, found: Mapping[str, Found]) -> None:
    for name, each in found.items():
        text = each.conf.decode(errors="replace")
        try:
            cluster = corosync_conf.parse(text).section("totem").value("cluster_name")
        except corosync_conf.CorosyncConfError as error:
            raise UserError(f"{name}: {corosync_conf.PATH}: {error}") from None
        if cluster and cluster != wanted.description.cluster:
            said = corosync_conf.why_foreign(text, cluster)
            raise UserError(f'{name} is in the cluster "{cluster}": {said}; no node was changed')


def _need_certificates(host: Host, wanted: Wanted) -> None:
    device = _device(wanted)
    if device and device.value("tls", "on") != "off" and not host.exists(CERTIFICATES):
        names = " ".join(node.name for node in wanted.description.nodes)
        words = f"corosync-qdevice-net-certutil -Q -n {wanted.description.cluster} {device.value('host')} {names}"
        raise UserError(f"the certificates for the quorum device are missing; run: {words}; then run this again")


def _device(wanted: Wanted) -> corosync_conf.Section | None:
    net = corosync_conf.parse(wanted.corosync).section("quorum").section("device").section("net")
    return net if net.value("host") else None


def _key(keys: Iterable[bytes]) -> bytes:
    """Return the key that a node has already, the first one's, or a new one."""
    return next(filter(None, keys), b"") or os.urandom(KEY_BYTES).hex().encode()


def _packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _on(host: Host, name: str, script: str, *, given: str = "", limit: float = ASK_LIMIT) -> str:
    """Run a script as root on a node, directly where that is this one; return what it prints. Raises UserError."""
    is_here = name == os.uname().nodename
    argv = ("sh", "-c", script) if is_here else (*SSH, f"root@{name}", script)
    try:
        return host.run(*argv, given=given, timeout=limit).out
    except CommandFailed as error:
        said = " ".join((error.done.err or error.done.out).split())[-400:]
        # ssh(1): 255 is its own failure, everything else that of the command.
        if error.done.rc == 255 and not is_here:
            way = f"let root log in there without a password, as by ssh-copy-id root@{name}, or install pcs"
            raise UserError(f"{name} cannot be reached by ssh as root: {said}; {way}") from None
        raise UserError(f"{name} said: {said}") from None
    except CommandError as error:
        raise UserError(f"{name}: {error}") from None
