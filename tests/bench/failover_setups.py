"""The three configurations that the bench of failovers compares, and how a lab takes each of them up.

What they have in common is what they are about: the nodes, their management controllers, one guest and the address that
follows it. Everything else is either what pcs gives to somebody who asks for nothing, or what the templates give.
"""

from __future__ import annotations

import re

from kvmha.cluster import description, render
from kvmha.lab import bmc, formation
from kvmha.lab.guest import CONFIG_FOLDER
from kvmha.lab.plan import LabError
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from kvmha.lab.lab import Lab
    from kvmha.lab.plan import LabPlan

GUEST, ADDRESS = "web1", formation.FLOATING_IP
CIB = "/run/kvmha-bench/cib.xml"
COROSYNC_CONF = "/etc/corosync/corosync.conf"
CALM_LIMIT = 180

PCS_WRITES = ("version", "cluster_name", "transport", "crypto_cipher", "crypto_hash", "cluster_uuid")
"""What "pcs cluster setup NAME NODES..." of pcs 0.11 writes into the section totem; all else is corosync's default."""

# What the shell agents know of what the templates give ours; another parameter would be refused, or mean nothing.
SHELL_KINDS = {"VirtualDomain": "VirtualDomain", "FloatingIP": "IPaddr2"}
SHELL_PARAMS = {
    "VirtualDomain": ("config", "migration_transport"),
    "IPaddr2": ("ip", "cidr_netmask", "nic"),
}

SECTIONS = ("crm_config", "rsc_defaults", "op_defaults", "resources", "constraints", "fencing-topology", "alerts")


class Setup(Record):
    """One configuration."""

    key: str
    name: str


DEFAULTS = Setup(key="defaults", name="shell agents, pcs's defaults")
TEMPLATES = Setup(key="templates", name="shell agents, our templates")
OURS = Setup(key="ours", name="our agents, our templates")
SETUPS = (DEFAULTS, TEMPLATES, OURS)


def describe(plan: LabPlan) -> str:
    """Return the cluster.yaml of the bench: that of the lab, with the one guest."""
    return formation.describe(plan.replace(guests=plan.guests[:1]))


def corosync_conf(setup: Setup, plan: LabPlan, present: str) -> str:
    """Return a setup's corosync.conf, made of the one that is there: only the section totem differs."""
    start, end = _totem(present)
    lines = [line for line in present[start:end].splitlines() if line.split(":")[0].strip() in PCS_WRITES]
    if setup is not DEFAULTS:
        rendered = render.corosync_conf(description.read(describe(plan), "the bench's cluster.yaml"))
        first, last = _totem(rendered)
        # What it says beside that, its sections for the links among it.
        lines += [line for line in rendered[first:last].splitlines() if line.split(":")[0].strip() not in PCS_WRITES]
    body = "".join(f"{line}\n" for line in lines if line.strip() and not line.strip().startswith("#"))
    return f"{present[:start]}\n{body}{present[end:]}"


def _totem(conf: str) -> tuple[int, int]:
    """Return where the inside of the section totem begins and ends."""
    begin = re.search(r"^totem \{", conf, flags=re.MULTILINE)
    if begin is None:
        raise LabError("the corosync.conf of the lab has no section totem")
    depth = 1
    for brace in re.finditer(r"[{}]", conf[begin.end() :]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return begin.end(), begin.end() + brace.start()
    raise LabError("the section totem in the corosync.conf of the lab has no end")


def template_cib(setup: Setup, plan: LabPlan) -> str:
    """Return the CIB that the templates give, with the shell agents in it where they are meant."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(render.cib_xml(description.read(describe(plan), "the bench's cluster.yaml")))
    if setup is TEMPLATES:
        for primitive in root.iter("primitive"):
            if primitive.get("provider") == "kvmha":
                _give_to_shell_agent(primitive)
    return ElementTree.tostring(root, encoding="unicode")


def _give_to_shell_agent(primitive: Element) -> None:
    kind = SHELL_KINDS[primitive.get("type", "")]
    primitive.set("provider", "heartbeat")
    primitive.set("type", kind)
    for attributes in primitive.findall("instance_attributes"):
        for pair in list(attributes):
            if pair.get("name") not in SHELL_PARAMS[kind]:
                attributes.remove(pair)
    for operations in primitive.findall("operations"):
        for operation in list(operations):
            # They advertise no deeper monitors, and no reload.
            if operation.find("instance_attributes") is not None or operation.get("name") == "reload-agent":
                operations.remove(operation)


def pcs_commands(plan: LabPlan) -> list[tuple[str, ...]]:
    """Return what an administrator tells pcs who leaves everything else as it is."""
    # The simulated controllers need two words that real ones do not; how long they are waited for is not among them.
    options = [f"{name}={value}" for name, value in bmc.FENCING_OPTIONS.items() if name != "power_wait"]
    return [
        *(
            ("stonith", "create", f"fence-{node.name}", "fence_ipmilan", f"pcmk_host_list={node.name}",
             f"ip={node.bmc}", *options)
            for node in plan.nodes
        ),
        ("resource", "create", GUEST, "ocf:heartbeat:VirtualDomain", f"config={CONFIG_FOLDER}/{GUEST}.xml",
         "migration_transport=tcp", "meta", "allow-migrate=true"),
        ("resource", "create", ADDRESS, "ocf:heartbeat:IPaddr2", f"ip={plan.floating_ip}", "cidr_netmask=24",
         "nic=br0"),
        ("constraint", "colocation", "add", ADDRESS, "with", GUEST),
        ("constraint", "order", "start", GUEST, "then", "start", ADDRESS),
    ]  # fmt: skip


EMPTY = """\
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
  <configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/>
</cib>
"""


class Wardrobe:
    """A lab that changes from one setup to another, all nodes being there."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._first = lab.plan.nodes[0].name
        self._cibs: dict[str, str] = {}

    def prepare(self) -> None:
        """Make the CIBs of all setups. Raises LabError, CommandError."""
        self._cibs = {setup.key: template_cib(setup, self._lab.plan) for setup in (TEMPLATES, OURS)}
        self._lab.copy_in(self._first, CIB, EMPTY)
        for words in pcs_commands(self._lab.plan):
            self._run("pcs", "-f", CIB, *words, "--force", timeout=60)
        self._cibs[DEFAULTS.key] = self._run("cat", CIB)

    def put_on(self, setup: Setup) -> None:
        """Have the cluster take a setup up, with all of its resources stopped in between. Raises LabError."""
        self._property("stop-all-resources", "true")
        self._settle()
        self._corosync(setup)
        self._replace(self._cibs[setup.key])
        # Nothing of the earlier agents' history may decide anything.
        self._run("crm_resource", "--refresh", "--force", timeout=120, ok=None)
        self._settle()
        self._property("stop-all-resources", None)
        self._settle()

    def token(self) -> str:
        """Return corosync's times as they are in force."""
        said = self._run("corosync-cmapctl", "-g", "runtime.config.totem.token")
        other = self._run("corosync-cmapctl", "-g", "runtime.config.totem.consensus")
        return f"token {said.split()[-1]} ms, consensus {other.split()[-1]} ms"

    def _corosync(self, setup: Setup) -> None:
        for node in self._lab.plan.nodes:
            present = self._lab.run(node.name, "cat", COROSYNC_CONF, timeout=20).out
            self._lab.copy_in(node.name, COROSYNC_CONF, corosync_conf(setup, self._lab.plan, present))
        self._run("corosync-cfgtool", "-R")

    def _replace(self, cib: str) -> None:
        from xml.etree import ElementTree

        wanted = ElementTree.fromstring(cib)
        present = ElementTree.fromstring(self._run("cibadmin", "--query"))
        configuration = present.find("configuration")
        if configuration is None:
            raise LabError("the lab's cluster has no configuration")
        for name in SECTIONS:
            old, new = configuration.find(name), wanted.find(f"configuration/{name}")
            if old is not None:
                configuration.remove(old)
            if name == "crm_config":
                new = _with_stop(new)
            if new is not None:
                configuration.append(new)
        # The sections' order does not matter to the schema of a whole, but to whoever reads it.
        order = ("crm_config", "nodes", "resources", "constraints", "fencing-topology", "op_defaults", "rsc_defaults")
        configuration[:] = sorted(configuration, key=lambda part: [*order, part.tag].index(part.tag))
        self._lab.copy_in(self._first, CIB, ElementTree.tostring(configuration, encoding="unicode"))
        self._run("cibadmin", "--replace", "--scope", "configuration", "--xml-file", CIB)

    def _property(self, name: str, value: str | None) -> None:
        change = ("--delete",) if value is None else ("--update", value)
        self._run("crm_attribute", "--type", "crm_config", "--name", name, *change)

    def _settle(self) -> None:
        self._run("crm_resource", "--wait", "--timeout", f"{CALM_LIMIT}s", timeout=CALM_LIMIT + 30)

    def _run(self, *argv: str, timeout: float = 30, ok: tuple[int, ...] | None = (0,)) -> str:
        return self._lab.run(self._first, *argv, timeout=timeout, ok=ok).out


def _with_stop(section: Element | None) -> Element:
    """Return the properties with all resources still told to stop."""
    from xml.etree import ElementTree

    if section is None:
        section = ElementTree.Element("crm_config")
    properties = section.find("cluster_property_set")
    if properties is None:
        properties = ElementTree.SubElement(section, "cluster_property_set", id="cib-bootstrap-options")
    ElementTree.SubElement(properties, "nvpair", id="bench-stop-all-resources", name="stop-all-resources", value="true")
    return section
