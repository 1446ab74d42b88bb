"""What a node's image consists of: packages, and how they are set up for nodes that are containers.

Pure text. The image's name carries a hash of it, so that a changed recipe makes a new image.
"""

from __future__ import annotations

from kvmha.lab.plan import HACLUSTER_PASSWORD

PACKAGES = (
    # the system
    "systemd", "systemd-sysv", "dbus", "procps", "less", "iproute2", "iputils-ping", "iputils-arping", "nftables",
    "kmod",
    # the cluster
    "corosync", "pacemaker", "pacemaker-cli-utils", "pcs", "crmsh", "resource-agents", "fence-agents", "ipmitool",
    "libxml2-utils", "sbd", "corosync-qdevice", "corosync-qnetd", "booth", "booth-pacemaker", "chrony",
    # how nodes reach each other where there is no pcs; nothing listens until a test starts it
    "openssh-server",
    # the storage below the guests; the module drbd comes with a kernel of the node's own
    "drbd-utils", "dmsetup",
    # connections that a floating IP takes along
    "conntrack",
    # load, for tests
    "stress-ng",
    # the guests; busybox-static and Python's own files become the initramfs of the lab's guest
    "libvirt-daemon-system", "libvirt-clients", "libvirt-daemon-driver-qemu", "qemu-system-x86", "qemu-utils",
    "busybox-static", "qemu-guest-agent", "ovmf", "swtpm", "swtpm-tools",
    # what the package kvmha depends on, since nodes have no way to the internet
    "python3-libvirt", "python3-lxml", "python3-psutil", "python3-jinja2", "python3-yaml", "python3-rich",
)  # fmt: skip

GUEST_MODULES = ("virtio_pci", "virtio_net", "button", "evdev", "virtio_blk", "virtio_console")
"""What the lab's guest needs of its kernel: its network, the power button as something that can be read, a disk, and
the channel of the guest agent."""

INSTEAD = {"trixie": {"fence-agents": "fence-agents-ipmilan"}}
"""Debian 13 has a package per agent, and the one for all of them brings a gigabyte for the clouds."""

DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/crmsh*",
)

# sbd.service is wanted by corosync.service and fails here, which would keep pacemaker from starting. corosync and
# pacemaker are started by pcs. libvirt-guests would suspend guests behind the cluster's back.
DISABLED = (
    "sbd",
    "corosync",
    "pacemaker",
    "corosync-qnetd",
    "corosync-qdevice",
    "chrony",
    "drbd",
    "libvirt-guests",
    "networking",
    "cron",
    "logd",
    "ssh",
    "qemu-guest-agent",
)

# Nobody logs in on a terminal, and nothing shall start by the clock and disturb a measurement.
MASKED = (
    "console-getty.service", "getty@tty1.service", "e2scrub_reap.service", "e2scrub_all.timer", "apt-daily.timer",
    "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "logrotate.timer", "systemd-networkd.service",
    "systemd-tmpfiles-clean.timer", "systemd-pstore.service", "systemd-timesyncd.service", "modprobe@.service",
    "systemd-modules-load.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
)  # fmt: skip

FILES = {
    # A container may change neither cgroups nor security labels, and nothing has to be guarded from the guests here.
    # A mount namespace for each guest would show it another root where the machine below is itself a chroot.
    "/etc/libvirt/qemu.conf": """\
cgroup_controllers = []
namespaces = []
security_driver = "none"
user = "root"
group = "root"
remember_owner = 0
""",
    # All nodes would otherwise read the one serial number of the machine below them, and libvirt refuses to move a
    # guest to the host that it is on already.
    "/etc/libvirt/libvirtd.conf": """\
host_uuid_source = "machine-id"
auth_tcp = "none"
log_outputs = "3:journald"
""",
    # Without this libvirtd would end after two idle minutes, and be slow just when a guest has to come back.
    "/etc/default/libvirtd": 'LIBVIRTD_ARGS=""\n',
    "/etc/systemd/journald.conf.d/lab.conf": """\
[Journal]
Storage=persistent
SystemMaxUse=64M
RateLimitIntervalSec=0
SyncIntervalSec=1s
""",
    # pcsd takes seconds of a processor to start, and a node that comes back after its fencing would take them from the
    # guests that come back at the same time; nobody waits for pcsd.
    "/etc/systemd/system/pcsd.service.d/lab.conf": "[Service]\nNice=10\n",
    "/etc/systemd/system/pcsd-ruby.service.d/lab.conf": "[Service]\nNice=10\n",
    "/etc/default/locale": "LANG=C.UTF-8\n",
    "/etc/machine-id": "",
}

CUSTOMIZE = """\
#!/bin/sh
# mmdebstrap calls this with the folder of the image once all packages are installed.
set -e
exec chroot "$1" sh -e << 'END'
systemctl disable {disabled} 2> /dev/null || true
systemctl mask {masked}
systemctl enable libvirtd.service libvirtd-tcp.socket pcsd.service
systemctl set-default multi-user.target
rm -f /etc/systemd/system/*/sbd.service /etc/libvirt/qemu/networks/autostart/* /etc/libvirt/qemu/networks/*.xml
rm -f /var/lib/dbus/machine-id /etc/hostname
# The package corosync comes with a cluster of one node, which pcs would have to destroy first.
rm -f /etc/corosync/corosync.conf
mkdir -p /var/log/journal
echo 'hacluster:{password}' | chpasswd
cd /var/lib
mkdir -p kvmha/kernel
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \\(linux-image-[0-9].*\\)/\\1/p')
apt-get download -o APT::Sandbox::User=root "$kernel"
dpkg-deb -x linux-image-*.deb kvmha/kernel
rm linux-image-*.deb
# A kernel that runs as a process of the machine, for nodes that need one of their own.
if apt-cache show user-mode-linux > /dev/null 2>&1; then
    mkdir -p kvmha/uml
    apt-get download -o APT::Sandbox::User=root user-mode-linux
    dpkg-deb -x user-mode-linux_*.deb kvmha/uml
    rm user-mode-linux_*.deb
fi
END
"""


def customize_script() -> str:
    """Return the script that sets the image up and unpacks the guests' kernel and that of nodes to /var/lib/kvmha."""
    return CUSTOMIZE.format(disabled=" ".join(DISABLED), masked=" ".join(MASKED), password=HACLUSTER_PASSWORD)


def mmdebstrap_argv(suite: str, folder: str, customize: str) -> tuple[str, ...]:
    """Return the command that makes an image's root in ``folder``; ``customize`` is the path of the script."""
    instead = INSTEAD.get(suite, {})
    packages = ",".join(instead.get(package, package) for package in PACKAGES)
    # fmt: off
    return (
        "mmdebstrap", "--mode=root", "--verbose", "--variant=important", "--architectures=amd64", "--format=directory",
        f"--include={packages}", *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
        f"--customize-hook={customize}", suite, folder,
    )
    # fmt: on


def key(suite: str) -> str:
    """Return twelve characters that differ when the image would."""
    import hashlib

    parts = (*mmdebstrap_argv(suite, "", ""), customize_script(), *(f"{path}\n{text}" for path, text in FILES.items()))
    parts += GUEST_MODULES
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


BOX_PACKAGES = ("linux-image-amd64", "initramfs-tools", "udev", "sudo")
"""What a machine of Vagrant needs beside the packages of a node: a kernel of its own, and a way to become root."""

NOT_IN_BOX = ("pcs",)
"""Where the processor is emulated a command of pcs takes half a minute; kvmha sets clusters up without it as well."""


def box_packages(suite: str) -> tuple[str, ...]:
    """Return the packages of the box that machines of Vagrant are made of."""
    instead = INSTEAD.get(suite, {})
    shared = tuple(instead.get(package, package) for package in PACKAGES if package not in NOT_IN_BOX)
    return (*shared, *BOX_PACKAGES)
