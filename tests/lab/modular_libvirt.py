"""Libvirt's modular daemons for nodes of Debian 12, which ships the drivers as modules but only libvirtd to load them.

The daemons are compiled from the source of the very package that is in the lab's image, in a throw-away layer upon that
image, and kept in the lab's cache. Everything else in a node stays Debian's: the library, the drivers, virtlogd.
The units are those of that source, as other distributions install them.
"""

from __future__ import annotations

import hashlib
import os
import shutil

from kvmha.lab import image, lines
from kvmha.lab.lock import Lock
from kvmha.lab.plan import cache_folder

DRIVERS = ("qemu", "network", "nodedev", "nwfilter", "secret", "storage", "interface")
DAEMONS = (*(f"virt{driver}d" for driver in DRIVERS), "virtproxyd")

BUILD_LIMIT = 2400.0
NOT_FETCHED = 75
"""Exit code of the build when the archive of Debian did not give what it needs (EX_TEMPFAIL of sysexits.h)."""

LIBRARIES = (
    "build-essential", "dpkg-dev", "gettext", "libcap-ng-dev", "libglib2.0-dev", "libgnutls28-dev", "libnl-3-dev",
    "libnl-route-3-dev", "libpciaccess-dev", "libtirpc-dev", "libudev-dev", "libxml2-dev", "libxml2-utils",
    "libyajl-dev", "meson", "ninja-build", "pkg-config", "polkitd", "python3-docutils", "rpcsvc-proto", "xsltproc",
)  # fmt: skip

# Paths, users and the client's way to the daemons (legacy: by the socket that libvirtd or virtproxyd has) as Debian's
# own build has them (debian/rules). Of the rest only what makes the daemons; the drivers are there.
OPTIONS = (
    "--prefix=/usr", "--libdir=lib/x86_64-linux-gnu", "--sysconfdir=/etc", "--localstatedir=/var", "-Drunstatedir=/run",
    "--buildtype=plain", "-Dauto_features=disabled", "-Dinit_script=systemd", "-Dremote_default_mode=legacy",
    "-Ddriver_qemu=enabled", "-Ddriver_libvirtd=enabled", "-Ddriver_remote=enabled", "-Ddriver_network=enabled",
    "-Ddriver_interface=enabled", "-Ddriver_secrets=enabled", "-Dstorage_dir=enabled", "-Dstorage_fs=enabled",
    "-Dudev=enabled", "-Dpciaccess=enabled", "-Dlibnl=enabled", "-Dcapng=enabled", "-Dyajl=enabled", "-Dpolkit=enabled",
    "-Dqemu_user=libvirt-qemu", "-Dqemu_group=libvirt-qemu",
)  # fmt: skip

# The daemons alone are a minute's work. For the library that they stand on they take Debian's, in place of the one of
# this source, which ninja would make first: no word of it stays in what they need and in how they are linked.
LINK = (
    r"/^build src.virt/s# [^ ]*\.symbols##g; "
    r"/^ LINK_ARGS/s#src/\(libvirt[a-z-]*\.so\.0\)\.[0-9.]* #/usr/lib/x86_64-linux-gnu/\1 #g"
)

OUTSIDE = """\
folder=$1 ground=$2
mkdir -p "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=$ground,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
mount --rbind /dev "$folder/root/dev"
mount -t proc proc "$folder/root/proc"
cp -L /etc/resolv.conf "$folder/root/etc/resolv.conf"
cp "$folder/build" "$folder/root/build"
exec chroot "$folder/root" sh -eu /build
"""

INSIDE = f"""\
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > /etc/apt/sources.list.d/source.list
apt-get --quiet --option Acquire::Retries=2 update || exit {NOT_FETCHED}
apt-get --quiet --yes --no-install-recommends install {" ".join(LIBRARIES)} || exit {NOT_FETCHED}
mkdir /source
cd /source
version=$(dpkg-query --show --showformat '${{Version}}' libvirt0)
apt-get --quiet source "libvirt=$version" || exit {NOT_FETCHED}
cd libvirt-*/
meson setup /made {" ".join(OPTIONS)}
sed -i '{LINK}' /made/build.ninja
ninja -C /made $(ninja -C /made -t targets all | sed -n 's/^\\(.*\\.h\\): CUSTOM_COMMAND.*/\\1/p')
ninja -C /made {" ".join(f"src/{daemon}" for daemon in DAEMONS)}
mkdir -p /kept/sbin /kept/units
for daemon in {" ".join(DAEMONS)}; do
    cp "/made/src/$daemon" /kept/sbin/
    cp "/made/src/$daemon".service "/made/src/$daemon"*.socket /kept/units/
done
strip /kept/sbin/*
"""

# What the image's settings for libvirtd say, said to the daemons that have its parts; see kvmha/lab/recipe.py.
SWITCH = f"""\
systemctl disable --now libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd-tcp.socket
systemctl mask libvirtd.service
cp -a /run/modular-libvirt/sbin/. /usr/sbin/
cp -a /run/modular-libvirt/units/. /etc/systemd/system/
rm -r /run/modular-libvirt
printf 'host_uuid_source = "machine-id"\\nlog_outputs = "3:journald"\\n' > /etc/libvirt/virtqemud.conf
printf 'auth_tcp = "none"\\nlog_outputs = "3:journald"\\n' > /etc/libvirt/virtproxyd.conf
systemctl daemon-reload
systemctl enable --quiet virtqemud.service
for daemon in {" ".join(DAEMONS)}; do
    systemctl enable --quiet --now "$daemon.socket" "$daemon-ro.socket" "$daemon-admin.socket"
done
systemctl enable --quiet --now virtproxyd-tcp.socket
systemctl start virtqemud.service
"""


class NotFetched(Exception):
    """Debian's archive did not give the source, or what compiles it."""


def ensure(host, ground):
    """Return the folder with the daemons (``sbin``) and their units (``units``), compiled upon an image if need be."""
    key = hashlib.sha256(f"{INSIDE}{package_version(host, ground, 'libvirt0')}".encode()).hexdigest()[:12]
    folder = f"{cache_folder()}/modular-libvirt-{key}"
    with Lock(host, f"{cache_folder()}/modular-libvirt.lock", wait=BUILD_LIMIT, busy="another run compiles libvirt"):
        if not host.exists(folder):
            build(host, ground, folder)
    return folder


def build(host, ground, folder):
    """Compile the daemons and put them into ``folder``. Raises NotFetched."""
    # A draft of this name is removed by the next lab if this process dies (kvmha.lab.image.remove_abandoned).
    draft = f"{cache_folder()}/building-modular-libvirt"
    shutil.rmtree(draft, ignore_errors=True)
    host.write(f"{draft}/build", INSIDE)
    said = []
    names = ("http_proxy", "https_proxy", "no_proxy")
    proxies = {name: os.environ[name] for name in names if name in os.environ}
    try:
        argv = image.isolated_argv("sh", "-eu", "-c", OUTSIDE, "build", draft, ground)
        code = lines.run(host, *argv, each=said.append, timeout=BUILD_LIMIT, env=proxies)
        host.write(f"{cache_folder()}/modular-libvirt.log", "\n".join(said) + "\n")
        if code == NOT_FETCHED:
            raise NotFetched("\n".join(line for line in said if line.startswith(("E:", "Err:"))) or said[-1])
        assert code == 0, "\n".join(said[-40:])
        os.rename(f"{draft}/upper/kept", folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def package_version(host, ground, package):
    """Return the version of a package in an image, as dpkg's status file there tells it."""
    for paragraph in host.read(f"{ground}/var/lib/dpkg/status").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Package") == package:
            return fields["Version"]
    raise AssertionError(f"{package} is not in {ground}")


def switch(lab, node, folder):
    """Take a node of a lab that has no cluster yet from libvirtd to the modular daemons."""
    copy = 'tar --create --directory "$1" . | { shift; exec "$@"; }'
    unpack = "mkdir /run/modular-libvirt && exec tar --extract --directory /run/modular-libvirt"
    lab.host.run("sh", "-c", copy, "copy", folder, *lab.enter_argv(node, "sh", "-c", unpack), timeout=60)
    lab.run(node, "sh", "-eu", "-c", SWITCH, timeout=120)
