"""How long it takes until a replica is promoted once the power of the promoted one was cut and its fencing confirmed.

Two nodes on kernels of their own, a cluster with fencing, one DRBD resource with ``fencing resource-and-stonith`` and
the handler that comes with each agent: a shell script with ocf:linbit:drbd, and ours. Three setups in turn: each agent
as a promotable clone, and ocf:kvmha:DRBD with ocf:kvmha:DRBDPrimary as the templates have it. No guest: what it needs
to boot is not the question. Processes cost about ten times what they do elsewhere on such nodes, for all three alike.
"""

from __future__ import annotations

import copy
from xml.etree import ElementTree

from kvmha.host import CommandError
from kvmha.lab.plan import LabError
from kvmha.record import Record
from kvmha.tools import cluster_log
from tests.bench.speed import median

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host
    from kvmha.lab.lab import Lab

RESOURCE = "web1"
LIMIT = 300.0
MOST_CUTS = 2
"""Of each setup: after each one a node has to boot, join and catch up, which takes minutes."""

COMMON = "/etc/drbd.d/global_common.conf"
CIB = "/run/bench-section.xml"

# Where the handlers of each side lie; DRBD 8.4 knows no split-brain handler of linbit's that it would need here.
SHELL_HANDLERS = {
    "/usr/lib/kvmha/drbd-fence-peer": "/usr/lib/drbd/crm-fence-peer.sh",
    "/usr/lib/kvmha/drbd-unfence-peer": "/usr/lib/drbd/crm-unfence-peer.sh",
    "/usr/lib/kvmha/drbd-split-brain": "/bin/true",
}

CLONE = """
<clone id="promoted-{name}">
  <meta_attributes id="promoted-{name}-meta">
    <nvpair id="promoted-{name}-1" name="promotable" value="true"/>
    <nvpair id="promoted-{name}-2" name="promoted-max" value="1"/>
    <nvpair id="promoted-{name}-3" name="promoted-node-max" value="1"/>
    <nvpair id="promoted-{name}-4" name="clone-max" value="2"/>
    <nvpair id="promoted-{name}-5" name="clone-node-max" value="1"/>
    <nvpair id="promoted-{name}-6" name="notify" value="true"/>
    <nvpair id="promoted-{name}-7" name="interleave" value="true"/>
  </meta_attributes>
  <primitive id="{name}" class="ocf" provider="{provider}" type="{kind}">
    <instance_attributes id="{name}-params">
      <nvpair id="{name}-resource" name="drbd_resource" value="{resource}"/>
    </instance_attributes>
    <operations>
      <op id="{name}-start" name="start" interval="0" timeout="240s"/>
      <op id="{name}-stop" name="stop" interval="0" timeout="100s"/>
      <op id="{name}-promote" name="promote" interval="0" timeout="120s"/>
      <op id="{name}-demote" name="demote" interval="0" timeout="90s"/>
      <op id="{name}-notify" name="notify" interval="0" timeout="90s"/>
      <op id="{name}-monitor" name="monitor" interval="10s" timeout="60s" role="Master"/>
      <op id="{name}-watch" name="monitor" interval="20s" timeout="60s" role="Slave"/>
    </operations>
  </primitive>
</clone>
"""

# Runs in the survivor: its own clock is that of its journal.
WATCH = """\
import sys, time
print("%.3f" % time.time(), flush=True)
while True:
    with open("/proc/drbd") as file:
        if "ro:Primary" in file.read():
            print("%.3f" % time.time(), flush=True)
            break
    time.sleep(0.02)
"""


class Way(Record):
    """One setup."""

    key: str
    name: str
    provider: str = ""
    kind: str = ""
    """Empty for the resources of the templates."""


SHELL = Way(key="shell", name="ocf:linbit:drbd, promotable clone", provider="linbit", kind="drbd")
OURS = Way(key="ours", name="ocf:kvmha:DRBD, promotable clone", provider="kvmha", kind="DRBD")
TEMPLATE = Way(key="template", name="ocf:kvmha:DRBD and DRBDPrimary, as in the templates")
WAYS = (SHELL, OURS, TEMPLATE)


class Cut(Record):
    """One power cut of the promoted node, in seconds; None for what was not seen in time."""

    way: str
    from_fenced: float | None
    """From the confirmed fencing until the survivor's device could be written."""
    from_cut: float | None


class Promotion(Record):
    """What came of all cuts of one setup."""

    way: Way
    cuts: tuple[Cut, ...]

    def median(self, what: str) -> float | None:
        """Return the median of ``from_fenced`` or ``from_cut`` over the cuts in which it was seen."""
        seen = [getattr(cut, what) for cut in self.cuts if getattr(cut, what) is not None]
        return median(seen) if seen else None


def measure(
    host: Host, lab: Lab, runs: int, say: Callable[[str], None], *, put_back: bool = False
) -> tuple[Promotion, ...]:
    """Measure in a lab that is up with its cluster, which gets its own resources again if it is to be kept.

    A setup that cannot be measured to its end keeps nothing from what was seen before. Raises LabError, CommandError.
    """
    theatre = Theatre(host, lab)
    found: dict[str, list[Cut]] = {way.key: [] for way in WAYS}
    try:
        for way in WAYS:
            say(f"promotion: {way.name}")
            theatre.put_on(way)
            for _ in range(min(runs, MOST_CUTS)):
                cut = theatre.cut(way)
                found[way.key].append(cut)
                say(f"    promoted {_text(cut.from_fenced)} after the fencing, {_text(cut.from_cut)} after the cut")
    except (LabError, CommandError) as error:
        if not any(found.values()):
            raise
        lab.collect_logs("build/bench")
        say(f"promotion: broken off: {error}")
    finally:
        if put_back:
            theatre.put_back()
    return tuple(Promotion(way=way, cuts=tuple(found[way.key])) for way in WAYS if found[way.key])


def _text(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def is_fencing(element: ElementTree.Element) -> bool:
    """Tell whether a resource is a fence device."""
    return element.tag == "primitive" and element.get("class") == "stonith"


def only_fencing(resources: ElementTree.Element) -> ElementTree.Element:
    """Return the section with its fence devices alone."""
    kept = ElementTree.Element("resources")
    kept.extend([element for element in resources if is_fencing(element)])
    return kept


def stopped(resources: ElementTree.Element) -> ElementTree.Element:
    """Return the section with all but the fence devices to be stopped."""
    found = copy.deepcopy(resources)
    for element in found:
        if is_fencing(element):
            continue
        name = element.get("id", "")
        meta = element.find("meta_attributes")
        if meta is None:
            meta = ElementTree.Element("meta_attributes", id=f"{name}-bench-meta")
            element.insert(0, meta)
        role = meta.find("nvpair[@name='target-role']")
        if role is None:
            role = ElementTree.SubElement(meta, "nvpair", id=f"{name}-bench-role", name="target-role")
        role.set("value", "Stopped")
    return found


def without_guest(resources: ElementTree.Element) -> ElementTree.Element:
    """Return the section with the fence devices and what belongs to DRBD: the clone, and who holds the role."""
    kept = only_fencing(resources)
    kept.extend(
        element
        for element in resources
        if any(primitive.get("type", "").startswith("DRBD") for primitive in element.iter("primitive"))
    )
    return kept


def constraints_of(constraints: ElementTree.Element, resources: ElementTree.Element) -> ElementTree.Element:
    """Return those constraints that name none but these resources."""
    there = {element.get("id") for element in resources.iter() if element.get("id")}
    kept = ElementTree.Element("constraints")
    for constraint in constraints:
        named = {constraint.get(name) for name in ("rsc", "with-rsc", "first", "then")} - {None}
        named |= {reference.get("id") for reference in constraint.iter("resource_ref")}
        if named <= there:
            kept.append(constraint)
    return kept


class Theatre:
    """The lab's cluster, which plays one setup after the other."""

    def __init__(self, host: Host, lab: Lab) -> None:
        self._host = host
        self._lab = lab
        self._nodes = tuple(node.name for node in lab.plan.nodes[:2])
        self._resources = self._section("resources")
        self._constraints = self._section("constraints")
        self._common = lab.run(self._nodes[0], "cat", COMMON, timeout=60).out

    # ---------------------------------------------------------------- setups

    def put_on(self, way: Way) -> None:
        """Have the cluster take a setup up, with DRBD down in between. Raises LabError."""
        self._take_down()
        text = self._common
        for ours, theirs in SHELL_HANDLERS.items() if way is SHELL else ():
            text = text.replace(ours, theirs)
        for node in self._nodes:
            self._lab.copy_in(node, COMMON, text)
        if way.kind:
            wanted = only_fencing(self._resources)
            name = f"bench-{way.key}"
            values = {"name": name, "provider": way.provider, "kind": way.kind, "resource": RESOURCE}
            wanted.append(ElementTree.fromstring(CLONE.format(**values)))
        else:
            wanted = without_guest(self._resources)
        self._load(wanted)
        self._wait_well()

    def put_back(self) -> None:
        """Give the cluster the resources that it had. Raises LabError."""
        for node in self._nodes:
            self._lab.power(node, "on")
        for node in self._nodes:
            self._lab.wait_booted(node)
        self._wait("the cluster answers", lambda: self._says("cibadmin", "--query", "--scope", "resources"))
        self._take_down()
        for node in self._nodes:
            self._lab.copy_in(node, COMMON, self._common)
        self._load(self._resources)

    def _take_down(self) -> None:
        """Have the cluster stop all but the fence devices, in the order and with the times that it has for that.

        Of what is no longer in its configuration it knows neither, and a stop that fails for it has the node fenced.
        """
        self._replace("resources", stopped(self._section("resources")))
        self._wait("DRBD is down", lambda: not any(self._state(node) for node in self._nodes))

    def _section(self, name: str) -> ElementTree.Element:
        return ElementTree.fromstring(
            self._lab.run(self._nodes[0], "cibadmin", "--query", "--scope", name, timeout=60).out
        )

    def _load(self, resources: ElementTree.Element) -> None:
        sections = {"constraints": constraints_of(self._constraints, resources), "resources": resources}
        # What names a resource goes before it, and comes after it.
        self._replace("constraints", ElementTree.Element("constraints"))
        for name in ("resources", "constraints"):
            self._replace(name, sections[name])

    def _replace(self, name: str, section: ElementTree.Element) -> None:
        node = self._nodes[0]
        self._lab.copy_in(node, CIB, ElementTree.tostring(section, encoding="unicode"))
        self._lab.run(node, "cibadmin", "--replace", "--scope", name, "--xml-file", CIB, timeout=60)

    # ------------------------------------------------------------------ a cut

    def cut(self, way: Way) -> Cut:
        """Cut the power of the promoted node, and see when the other one is promoted. Raises LabError."""
        (victim,) = [node for node in self._nodes if "ro:Primary" in self._state(node)]
        survivor = next(node for node in self._nodes if node != victim)
        pid, fd = self._host.stream(*self._lab.enter_argv(survivor, "python3", "-IS", "-c", WATCH))
        try:
            begun = self._line(fd, 60.0)
            if begun is None:
                raise LabError(f"{survivor} does not answer")
            at = self._host.wall_clock()
            self._lab.power(victim, "off")
            promoted = self._line(fd, LIMIT)
        finally:
            self._host.end(pid)
        fenced = self._fenced(survivor, victim, begun)
        self._wait_well()
        return Cut(
            way=way.key,
            from_fenced=None if promoted is None or fenced is None else promoted - fenced,
            from_cut=None if promoted is None else promoted - at,
        )

    def _line(self, fd: int, limit: float) -> float | None:
        import os
        import select

        text, until = b"", self._host.now() + limit
        while not text.endswith(b"\n"):
            if not select.select([fd], [], [], max(until - self._host.now(), 0.0))[0]:
                return None
            byte = os.read(fd, 1)
            if not byte:
                return None
            text += byte
        return float(text)

    def _fenced(self, survivor: str, victim: str, begun: float) -> float | None:
        """Return when the survivor's Pacemaker knew that the victim was fenced."""
        argv = ("journalctl", "--output=json", "--no-pager", "--identifier=pacemaker-fenced", f"--since=@{begun:.0f}")
        lines = self._lab.run(survivor, *argv, timeout=120).out.splitlines()
        entries = [entry for entry in map(cluster_log.parse_entry, lines) if entry is not None]
        return next(
            (
                entry.at
                for entry in entries
                if entry.kind == cluster_log.FENCING_CONFIRMED and entry.subject == victim and entry.at >= begun
            ),
            None,
        )

    # ------------------------------------------------------------------ seeing

    def _state(self, node: str) -> str:
        """Return a node's line of the device in /proc/drbd, nothing where it has none or has no power."""
        try:
            text = self._lab.run(node, "cat", "/proc/drbd", timeout=60, ok=None).out
        except (LabError, CommandError):
            return ""
        return next(
            (line for line in text.splitlines() if line.startswith(" 0: cs:") and "Unconfigured" not in line), ""
        )

    def _is_well(self) -> bool:
        states = [self._state(node) for node in self._nodes]
        alike = all("cs:Connected" in state and "ds:UpToDate/UpToDate" in state for state in states)
        if not alike or sum("ro:Primary/" in state for state in states) != 1:
            return False
        left = self._says("cibadmin", "--query", "--scope", "constraints")
        status = self._says("crm_mon", "--one-shot")
        is_calm = "drbd-fence" not in left and f"Online: [ {' '.join(self._nodes)} ]" in status
        devices = [line for line in status.splitlines() if "stonith:" in line]
        return is_calm and bool(devices) and all("Started" in line for line in devices)

    def _says(self, *argv: str) -> str:
        """Return what a command says in the first node, nothing where that has no power or no cluster."""
        try:
            return self._lab.run(self._nodes[0], *argv, timeout=60, ok=None).out
        except (LabError, CommandError):
            return ""

    def _wait_well(self) -> None:
        for node in self._nodes:
            self._lab.power(node, "on")
        self._wait("the pair is well", self._is_well)

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        until = self._host.now() + LIMIT
        begun = self._host.now()
        while not condition():
            if self._host.now() > until:
                raise LabError(f"{what}: not within {LIMIT:.0f} s; {[self._state(node) for node in self._nodes]}")
            # What is asked costs the one processor of such a node a second: most is left to what is waited for.
            self._host.sleep(min(max(0.5, 2 * (self._host.now() - begun)), 3.0))
            begun = self._host.now()
