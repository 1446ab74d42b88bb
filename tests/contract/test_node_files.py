"""The files of the nodes against the programs that read them: each takes what is rendered for it."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import socket
import threading
from pathlib import Path

import pytest

from kvmha.cluster import description, folder, node_files, render
from kvmha.host import Completed, Host

HOST = Host()


def need(*programs: str) -> None:
    missing = [program for program in programs if HOST.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has namespaces of its own")


def told(*argv: str, env: dict[str, str] | None = None) -> Completed:
    """Return what a program says. Fails the test with it if it does not end with 0."""
    done = HOST.run(*argv, timeout=120, ok=None, env=env)
    assert done.rc == 0, done.out + done.err
    return done


@pytest.fixture(scope="module", params=description.TEMPLATES)
def wanted(request, checkout) -> description.ClusterDescription:
    """Return each example's description."""
    return description.load(HOST, f"{checkout}/cluster-templates/{request.param}/cluster.yaml")


@pytest.fixture(scope="module")
def rendered(wanted, tmp_path_factory) -> Path:
    """Return a folder with all that is rendered."""
    path = tmp_path_factory.mktemp("rendered") / "out"
    folder.write(HOST, str(path), render.render(wanted), render.mode_of)
    return path


def files(rendered: Path, pattern: str) -> list[Path]:
    found = sorted(rendered.glob(pattern))
    if not found:
        pytest.skip(f"this example has no {pattern}")
    return found


def test_every_file_of_a_node_is_rendered_and_has_one_place(wanted, rendered):
    table = node_files.of(wanted)
    assert [file.source for file in table if not (rendered / file.source).is_file()] == []
    places = [(file.path, file.node) for file in table]
    assert len(places) == len(set(places))
    assert all(file.path.startswith("/etc/") for file in table)


def test_nftables_takes_the_table_also_a_second_time(rendered):
    need("nft", "unshare")
    need_root()
    (table,) = files(rendered, "nftables/kvmha.nft")
    script = 'nft -f "$1" && nft -f "$1" && nft list table inet kvmha'
    said = told("unshare", "--net", "sh", "-c", script, "sh", str(table)).out
    assert "tcp dport @tcp_ports counter" in said


def test_the_table_keeps_others_out_and_lets_nodes_in(wanted, rendered):
    need("nft", "unshare", "ip", "python3")
    need_root()
    (table,) = files(rendered, "nftables/kvmha.nft")
    script = Path(__file__).with_name("knock.py")
    node, port = wanted.nodes[1].addresses[0], "2224"
    own = wanted.nodes[0].addresses[0]
    said = told("unshare", "--net", "python3", str(script), str(table), own, port, node, "10.77.0.250").out
    assert said.split() == [node, "answers", "10.77.0.250", "silence"]


def test_logrotate_takes_the_rules(rendered, tmp_path):
    need("logrotate", "unshare")
    need_root()
    (rules,) = files(rendered, "logrotate/kvmha")
    # The owner of Pacemaker's logs comes with Pacemaker, which need not be here: logrotate sees databases of users that
    # have the node's.
    for database, line in (("passwd", "hacluster:x:990:990::/:/bin/false\n"), ("group", "haclient:x:990:\n")):
        (tmp_path / database).write_text(Path(f"/etc/{database}").read_text() + line)
    script = (
        'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group'
        ' && exec logrotate --debug --state /dev/null "$2"'
    )
    said = told("unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), str(rules)).err
    assert "error:" not in said
    assert "rotating pattern: /var/log/pacemaker/pacemaker.log" in said


def test_drbdadm_takes_the_resources(wanted, rendered, tmp_path):
    need("drbdadm", "unshare", "hostname", "ip")
    need_root()
    files(rendered, "drbd/*.res")
    (tmp_path / "drbd.conf").write_text(f'include "{rendered}/drbd/*.conf";\ninclude "{rendered}/drbd/*.res";\n')
    # drbdadm looks for its own host's side by name and address, so that it runs as each of them in turn. Which grammar
    # holds it learns from the kernel's module, which need not be here.
    script = 'hostname "$1" && ip link set lo up && ip address add "$2" dev lo && exec drbdadm --config-file "$3" dump'
    env = {"DRBD_DRIVER_VERSION_OVERRIDE": {"8.4": "8.4.11", "9": "9.1.0"}[wanted.replication.version]}
    addresses = {node.name: node.addresses[wanted.replication.link] for node in wanted.nodes}
    for disk in wanted.drbd:
        for node in disk.nodes or [node.name for node in wanted.nodes]:
            argv = ("sh", "-c", script, "sh", node, addresses[node], f"{tmp_path}/drbd.conf")
            said = told("unshare", "--uts", "--net", *argv, env=env).out
            assert re.search(rf"device\s+(/dev/drbd{disk.minor} )?minor {disk.minor};", said), said
            assert re.search(r"fencing\s+resource-and-stonith;", said), said
            assert not re.search(r"allow-two-primaries\s+yes;", said), said


def test_chrony_takes_the_servers(rendered, tmp_path):
    need("chronyd")
    for conf in files(rendered, "chrony/*.conf"):
        told("chronyd", "-p", "-f", str(conf))


def test_booth_takes_the_tickets(wanted, rendered):
    need("booth")
    (conf,) = files(rendered, "booth/booth.conf")
    # Nobody answers here; the configuration is read before that, and a mistake in it is the first that is said.
    done = HOST.run("booth", "list", "-c", str(conf), timeout=60, ok=None)
    assert not re.search(r"unknown|invalid|syntax|cannot parse|not a valid", done.out + done.err, re.IGNORECASE), (
        done.err
    )
    text = conf.read_text()
    broken = conf.with_name("broken.conf")
    broken.write_text(text.replace("expire = 300", "expire = soon"))
    worse = HOST.run("booth", "list", "-c", str(broken), timeout=60, ok=None)
    broken.unlink()
    assert re.search(r"expire|invalid|Expected", worse.out + worse.err), worse.out + worse.err


def test_systemd_takes_the_units(rendered, tmp_path):
    need("systemd-analyze", "nft")
    (unit,) = files(rendered, "nftables/*.service")
    shutil.copy(unit, tmp_path)
    told("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"{tmp_path}/{unit.name}")


def test_sysctl_knows_every_setting(rendered):
    (conf,) = files(rendered, "sysctl/60-kvmha.conf")
    for line in conf.read_text().splitlines():
        if line and not line.startswith("#"):
            name, value = map(str.strip, line.split("="))
            path = Path("/proc/sys", name.replace(".", "/"))
            if not path.exists() and name.startswith("vm.nr_hugepages"):
                continue
            assert path.exists(), name
            assert value.isdigit(), line


def test_the_certificates_are_good_for_both_roles_and_all_names(wanted, rendered, tmp_path):
    need("openssl")
    (script,) = files(rendered, "libvirt/certificates.sh")
    folder = tmp_path / "certificates"
    told("sh", str(script), str(folder))
    for node in wanted.nodes:
        place = folder / node.name / "etc/pki"
        for purpose, name in (("sslserver", "servercert.pem"), ("sslclient", "clientcert.pem")):
            for how in (("-verify_hostname", node.name), ("-verify_ip", node.addresses[0])):
                argv = ("openssl", "verify", "-CAfile", f"{place}/CA/cacert.pem", "-purpose", purpose, *how)
                told(*argv, f"{place}/libvirt/{name}")
        # libvirtd 9.0 ends at once with "usage does not permit key encipherment".
        text = told("openssl", "x509", "-noout", "-ext", "keyUsage", "-in", f"{place}/libvirt/servercert.pem").out
        assert "Digital Signature, Key Encipherment" in text
        assert (place / "libvirt/private/serverkey.pem").stat().st_mode & 0o077 == 0
    before = (folder / wanted.nodes[0].name / "etc/pki/libvirt/servercert.pem").read_bytes()
    assert "has its certificate" in told("sh", str(script), str(folder)).out
    assert (folder / wanted.nodes[0].name / "etc/pki/libvirt/servercert.pem").read_bytes() == before


PROBED = """\
cluster: demo
nodes:
  - {{name: n1, addresses: [10.0.0.1], fencing: {{agent: fence_ipmilan}}}}
  - {{name: n2, addresses: [10.0.0.2], fencing: {{agent: fence_ipmilan}}}}
guests:
  - {{name: web1, config: /x.xml, service: {{probe: "{scheme}://127.0.0.1:{port}{path}", timeout: 5, interval: 10}}}}
"""


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers /well with 200, and all else with 500."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 500)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("scheme", "path", "listens", "code", "said"),
    [
        pytest.param("tcp", "", True, 0, "", id="a port that is open"),
        pytest.param("tcp", "", False, 1, "Connection refused", id="a port that is closed"),
        pytest.param("http", "/well", True, 0, "", id="a service that is well"),
        pytest.param("http", "/ill", True, 1, "answers HTTP/1.0 500", id="a service that is ill"),
        pytest.param("http", "/well", False, 1, "Connection refused", id="a service that is away"),
    ],
)
def test_a_guests_service_is_asked(tmp_path, scheme, path, listens, code, said):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            port = server.server_address[1] if listens else unused_port()
            text = PROBED.format(scheme=scheme, port=port, path=path)
            files = render.render(description.read(text, "cluster.yaml"))
            probe = tmp_path / "web1"
            probe.write_text(files["probes/web1"])
            probe.chmod(0o755)
            done = HOST.run(str(probe), timeout=60, ok=None)
        finally:
            server.shutdown()
            serving.join()
    assert (done.rc, said in done.err) == (code, True), done.err


def unused_port() -> int:
    """Return a port of this machine where nobody listens."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return int(there.getsockname()[1])


CALLED = """#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
"""


def test_node_sh_puts_the_files_in_place_once(wanted, rendered, tmp_path):
    need("unshare", "mount", "hostname")
    need_root()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "sysctl", "nft", "drbdadm", "modprobe"):
        (programs / name).write_text(CALLED)
        (programs / name).chmod(0o755)
    etc = tmp_path / "etc"
    (etc / "default").mkdir(parents=True)
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (etc / "sysctl.d").mkdir()
    (etc / "sysctl.d/60-kvmha.conf").write_text("mine\n")
    script = 'hostname "$1" && mount --bind "$2" /etc && PATH="$3" sh "$4" && echo -- && PATH="$3" sh "$4"'
    path = f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {"CALLS": f"{tmp_path}/calls"}
    name = wanted.nodes[0].name
    argv = ("sh", "-c", script, "sh", name, str(etc), path, f"{rendered}/node.sh")
    first, second = told("unshare", "--mount", "--uts", *argv, env=env).out.split("--\n")
    assert second == ""
    assert "write /etc/sysctl.d/60-kvmha.conf" in first
    assert (etc / "sysctl.d/60-kvmha.conf.before-kvmha").read_text() == "mine\n"
    for file in node_files.of(wanted):
        if not file.condition or file.node == name or file.path.startswith("/etc/default"):
            placed = etc / file.path.removeprefix("/etc/")
            assert placed.read_bytes() == (rendered / file.source).read_bytes()
            assert placed.stat().st_mode & 0o777 == file.mode
    assert not (etc / "sysconfig").exists()
    hosts = (etc / "hosts").read_text()
    assert all(f"{node.addresses[0]} {node.name}\n" in hosts for node in wanted.nodes)
    assert "sysctl --quiet --load /etc/sysctl.d/60-kvmha.conf" in (tmp_path / "calls").read_text()
