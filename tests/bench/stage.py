"""The stage of the bench: guests in a lab's nodes that are nobody's but the bench's, and what is seen of them.

What is true of a guest is never asked of an agent: whether it runs is counted from outside by its QEMU process, and
whether it is alive is heard from the guest itself.
"""

from __future__ import annotations

import uuid
from xml.sax.saxutils import escape

from kvmha.host import Host
from kvmha.lab import guest as lab_guest
from kvmha.lab import nodes, power
from kvmha.lab.guest_service import PORT
from kvmha.lab.plan import GuestPlan, LabError
from kvmha.record import Record
from kvmha.tools import qemu_process
from tests.bench import calls
from tests.bench.calls import Call, Ran, Side

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from kvmha.host import Completed
    from kvmha.lab.lab import Lab

    T = TypeVar("T")

FOLDER = "/root/bench"
"""Where a node has the definitions of the bench's guests."""

BOOT_LIMIT = 90.0

UNITS = (
    "libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd-tcp.socket",
)  # fmt: skip

WIPE = """\
virsh destroy "$1"
virsh undefine "$1" --nvram
rm -f /run/kvmha/VirtualDomain/bench-* "/run/resource-agents/VirtualDomain-$1-"*
"""

TYPE = """\
import libvirt, sys, time
connection = libvirt.open("qemu:///system")
stream = connection.newStream(0)
connection.lookupByName(sys.argv[1]).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
stream.send((sys.argv[2] + "\\n").encode())
time.sleep(0.5)
stream.abort()
"""

CLIENT = """\
import socket, sys
client = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
client.settimeout(2)
if sys.argv[3:]:
    client.recv(200)
    client.send((" ".join(sys.argv[3:]) + "\\n").encode())
print(client.recv(200).decode())
"""

# It comes as far as its firmware, which finds nothing to boot and waits: there at once, and no burden. It is written as
# libvirt writes definitions, one element to a line and with the emulator: the shell agent reads it that way.
IDLE = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <memballoon model='none'/>
  </devices>
</domain>
"""

# In maintenance the cluster touches neither; the shell agent writes utilization, and the resource has to be there.
RESOURCE = """\
<primitive id="{name}" class="ocf" provider="{provider}" type="VirtualDomain">
  <instance_attributes id="{name}-params">
    <nvpair id="{name}-config" name="config" value="{config}"/>
  </instance_attributes>
  <meta_attributes id="{name}-meta">
    <nvpair id="{name}-maintenance" name="maintenance" value="true"/>
  </meta_attributes>
</primitive>
"""


class Guest(Record):
    """One guest of the bench."""

    name: str
    uuid: str
    config: str
    xml: str
    address: str = ""
    """Where it answers, if it is one that boots."""


class Stage:
    """A lab that is up, with its cluster told to keep its hands off."""

    def __init__(self, host: Host, lab: Lab) -> None:
        self.host = host
        self.lab = lab
        self.nodes = tuple(node.name for node in lab.plan.nodes)
        self.is_kvm = power.read_ground(host, lab.plan).kvm
        self._count = 0

    def set_up(self) -> None:
        """Put everything in place. Raises LabError, CommandError."""
        calls.install(self.lab)
        self.maintenance(True)
        self.benchmarked = self.booting_guest("bench")
        first = self.nodes[0]
        for side in calls.SIDES:
            name = self.instance(side)
            xml = RESOURCE.format(name=name, provider=side.provider, config=self.benchmarked.config)
            # One of an earlier run, in a lab that was kept.
            self.run(first, "cibadmin", "--delete", "--xml-text", f'<primitive id="{name}"/>', ok=None)
            self.run(first, "cibadmin", "--create", "--scope", "resources", "--xml-text", xml)
        self.settle()

    def software(self) -> tuple[str, ...]:
        """Return the versions of what is measured, and of what it runs on."""
        names = ("pacemaker", "libvirt-daemon", "qemu-system-x86", "resource-agents", "kvmha", "python3")
        form = "${Package} ${Version}\\n"
        said = self.run(self.nodes[0], "dpkg-query", "--show", f"--showformat={form}", *names, ok=None)
        return tuple(said.out.splitlines())

    def maintenance(self, is_on: bool) -> None:
        """Have the cluster look away from all resources, or look again."""
        value = "true" if is_on else "false"
        self.run(
            self.nodes[0], "crm_attribute", "--type", "crm_config", "--name", "maintenance-mode", "--update", value
        )
        self.settle()

    def settle(self) -> None:
        """Wait until the cluster has nothing left to do."""
        self.run(self.nodes[0], "crm_resource", "--wait", "--timeout", "90s", timeout=120)

    @staticmethod
    def instance(side: Side) -> str:
        """Return the id of a side's resource."""
        return f"bench-{side.provider}"

    # ----------------------------------------------------------------- guests

    def guest(self, name: str, xml: str = IDLE, **values: str) -> Guest:
        """Define a new guest in files on all nodes, by default one that only idles."""
        self._count += 1
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"kvmha:bench:{self.lab.plan.name}:{self._count}:{name}"))
        text = xml.format(name=escape(name), uuid=identity, **values)
        return self._write(Guest(name=name, uuid=identity, config=f"{FOLDER}/{self._count}.xml", xml=text))

    def booting_guest(self, name: str, *, ignore_acpi: bool = False, disk: str = "") -> Guest:
        """Define a new guest that boots and answers on the network."""
        self._count += 1
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"kvmha:bench:{self.lab.plan.name}:{self._count}:{name}"))
        planned = GuestPlan(
            name=name,
            uuid=identity,
            mac=f"52:54:00:6b:01:{self._count:02x}",
            address=f"10.77.0.{150 + self._count}",
            prefers=self.nodes[0],
        )
        options = {"disk": disk} if disk else {}
        text = lab_guest.domain_xml(
            planned, suite=self.lab.plan.suite, kvm=self.is_kvm, ignore_acpi=ignore_acpi, **options
        )
        config = f"{FOLDER}/{self._count}.xml"
        return self._write(Guest(name=name, uuid=identity, config=config, xml=text, address=planned.address))

    def _write(self, guest: Guest) -> Guest:
        for node in self.nodes:
            self.lab.copy_in(node, guest.config, guest.xml)
        return guest

    def create(self, guest: Guest, node: str) -> None:
        """Start a guest by hand."""
        self.run(node, "virsh", "create", guest.config)

    def wipe(self, guest: Guest, wanted: tuple[str, ...] = ()) -> None:
        """Remove a guest from these nodes, or from all, whatever it is in, and what the agents remember of it."""
        for node in wanted or self.nodes:
            for pid in self.pids(guest, node):
                self.run(node, "kill", "-KILL", str(pid), ok=None)
            self.wait(lambda at=node: not self.pids(guest, at), 20.0)
            self.run(node, "sh", "-c", WIPE, "bench", guest.name, ok=None)

    # ---------------------------------------------------------------- seeing

    def pids(self, guest: Guest, node: str) -> list[int]:
        """Return the ids, within the node, of a guest's QEMU processes there, as they are seen from outside."""
        found = []
        for pid in nodes.members(self.host, self.lab.plan.node(node)):
            who = qemu_process.parse_cmdline(self.host.cmdline(pid))
            if who is not None and who.uuid == guest.uuid:
                ids = [line for line in self.host.read(f"/proc/{pid}/status").splitlines() if line.startswith("NSpid:")]
                found.append(int(ids[0].split()[-1]))
        return found

    def places(self, guest: Guest) -> list[str]:
        """Return the nodes that have a QEMU process of a guest, once for each process."""
        return [node for node in self.nodes for _ in self.pids(guest, node)]

    def state(self, guest: Guest, node: str) -> str:
        """Return the state that libvirt tells a person."""
        return self.run(node, "virsh", "domstate", guest.name, ok=None).out.strip() or "unknown to libvirt"

    def ask(self, guest: Guest, *words: str) -> str:
        """Ask the service in a guest from outside the nodes; nothing if it does not answer."""
        done = self.host.run(
            "nsenter", f"--net=/run/netns/{self.lab.plan.netns}", calls.PYTHON, "-IS", "-c", CLIENT, guest.address,
            str(PORT), *words, timeout=10, ok=None,
        )  # fmt: skip
        return done.out.strip()

    def boot_id(self, guest: Guest) -> str:
        """Return what tells one boot of a guest from another; nothing if it does not answer."""
        return next((word[5:] for word in self.ask(guest).split() if word.startswith("boot=")), "")

    def wait_booted(self, guest: Guest) -> str:
        """Wait until a guest answers, and return its boot id. Raises LabError."""
        found = self.wait(lambda: self.boot_id(guest), BOOT_LIMIT)
        if not found:
            raise LabError(f"the guest {guest.name} did not boot within {BOOT_LIMIT:.0f} s")
        return found

    def wait(self, condition: Callable[[], T], limit: float) -> T:
        """Wait until a condition holds and return its value, or the last one when the time is up."""
        until = self.host.now() + limit
        while True:
            found = condition()
            if found or self.host.now() > until:
                return found
            self.host.sleep(0.2)

    # ---------------------------------------------------------------- acting

    def run(self, node: str, *argv: str, timeout: float = 60, ok: tuple[int, ...] | None = (0,)) -> Completed:
        """Run a command in a node."""
        return self.lab.run(node, *argv, timeout=timeout, ok=ok)

    def call(
        self, side: Side, action: str, guest: Guest, node: str, *, timeout: float, killed_after: float = 0,
        interval: float = 0, meta: dict[str, str] | None = None, env: dict[str, str] | None = None,
        instance: str = "", how: str = "timed", **params: str,
    ) -> Ran:  # fmt: skip
        """Call an agent for a guest as the executor of a node does, killed when its time is up."""
        given = {"config": guest.config, "migration_transport": "tcp"}
        call = Call(
            action=action,
            instance=instance or self.instance(side),
            params={name: value for name, value in {**given, **params}.items() if value},
            timeout=timeout,
            killed_after=killed_after,
            interval=interval,
            meta=meta or {},
            env=env or {},
        )
        return calls.run(self.lab, node, [calls.job(side, call, node, how)])[0]

    def freeze_libvirt(self, node: str) -> None:
        """Make libvirt hang: it takes connections, and says nothing."""
        self.run(node, "sh", "-c", "kill -STOP $(pidof libvirtd virtqemud)")

    def thaw_libvirt(self, node: str) -> None:
        """Let it go on."""
        self.run(node, "sh", "-c", "kill -CONT $(pidof libvirtd virtqemud)")

    def stop_libvirt(self, node: str) -> None:
        """Stop libvirt and its sockets."""
        self.run(node, "systemctl", "stop", *UNITS)

    def start_libvirt(self, node: str) -> None:
        """Start what stop_libvirt has stopped."""
        self.run(node, "systemctl", "start", *reversed(UNITS))

    def console(self, guest: Guest, node: str, line: str) -> None:
        """Type a line at a guest's serial console."""
        self.run(node, calls.PYTHON, "-c", TYPE, guest.name, line)
