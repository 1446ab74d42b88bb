"""A description of a cluster turned into the files that make it, by the templates in cluster-templates.

Invariant: whatever a shell script says with ``{{ value }}`` reaches its command as one word and never as
shell text, and what cib.xml says is escaped, because the environment sees to it; a template cannot forget to.
"""

from __future__ import annotations

import functools
import os
import re

import jinja2

from kvmha.cluster import configuration, node_files, quoting, share
from kvmha.cluster.configuration.settings import msgwait
from kvmha.cluster.contradictions.membership import SIZES
from kvmha.cluster.description import template
from kvmha.cluster.surroundings import certificate_names, firewall, migration_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.fields import ClusterDescription

FLAVOURS = {
    "pcs": ("pcs.sh", "cib.sh"),
    "crmsh": ("crmsh.sh", "cib.crm"),
    "cib": ("load.sh",),
}
"""The tools that can hand the configuration to a cluster, and the files that are for each of them alone."""

ALWAYS = ("README.md", "cib.xml", "corosync.conf", "hosts", "node.sh", "libvirt/setup.sh")

SECRET = ("cib.xml", "cib.crm", "cib.sh")
"""These hold the passwords of the fence devices."""


def render(description: ClusterDescription, flavour: str = "pcs") -> dict[str, str]:
    """Return each file's text by its name. Raises UserError where the templates are not installed."""
    templates = Templates(description)
    names = [*ALWAYS, *FLAVOURS[flavour]]
    if description.migration.transport == "tls":
        names.append("libvirt/certificates.sh")
    if description.sbd and description.sbd.devices:
        names.append("sbd/create.sh")
    files = {name: templates.text(name, flavour=flavour) for name in names}
    for file in node_files.of(description):
        files[file.source] = templates.text(file.template, **file.words)
    return files


def cib_xml(description: ClusterDescription) -> str:
    """Return the whole wanted CIB, without a status."""
    return Templates(description).text("cib.xml")


def corosync_conf(description: ClusterDescription) -> str:
    """Return the wanted corosync.conf."""
    return Templates(description).text("corosync.conf")


def mode_of(name: str) -> int:
    """Return the permissions of a rendered file."""
    if name in SECRET:
        return 0o700 if name.endswith(".sh") else 0o600
    return 0o755 if name.endswith(".sh") or name.startswith("probes/") else 0o644


EMPTY_LINES = re.compile(r"\n{3,}")


class Templates:
    """The templates that suit one cluster, and what they are given."""

    def __init__(self, description: ClusterDescription) -> None:
        # A pair with a second site is a pair all the same; what several have in common is in shared.
        self._chain = dict.fromkeys((template(description), *_by_size(description), "shared"))
        self._words = _words(description)

    def text(self, name: str, **more: object) -> str:
        """Return what a template makes of the cluster. Raises UserError if there is no such template."""
        # A file without the suffix is the same for every cluster.
        places = [f"{folder}/{name}.j2" for folder in self._chain] + [f"shared/{name}"]
        found = _environment(os.path.splitext(name)[1]).select_template(places)
        # What a template leaves out may leave the empty lines before and after it behind.
        return EMPTY_LINES.sub("\n\n", found.render({**self._words, **more}))


@functools.cache
def _environment(suffix: str) -> jinja2.Environment:
    """Return what reads the templates of files with this suffix."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(share.folder("cluster-templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=suffix == ".xml",
        finalize=quoting.shell_word if suffix == ".sh" else None,
    )
    environment.filters.update(quoting.FILTERS)
    return environment


def _by_size(description: ClusterDescription) -> tuple[str, ...]:
    size = SIZES[len(description.nodes)]
    return (f"{size}-qdevice", size) if description.quorum.device and len(description.nodes) == 2 else (size,)


def _words(description: ClusterDescription) -> dict[str, object]:
    """Return what templates may name: the fields as they are called in cluster.yaml, and what follows from them."""
    members, tcp_ports, udp_ports = firewall(description)
    timing = description.timing
    knet = (("ping_interval", timing.knet_ping_interval), ("ping_timeout", timing.knet_ping_timeout),
            ("pong_count", timing.knet_pong_count))  # fmt: skip
    totem = (("token", timing.token), ("token_coefficient", 0), ("consensus", timing.consensus), ("join", timing.join))
    wait = description.quorum.wait_for_all
    return {
        **{name: getattr(description, name) for name in description._fields},
        "configuration": configuration.of(description),
        "node_files": node_files.of(description),
        "template": template(description),
        "link_options": knet,
        "totem_options": [(name, value) for name, value in totem if value is not None],
        # pcs gives two nodes two_node by itself, which implies wait_for_all (votequorum(5)).
        "quorum_options": [] if wait is None or len(description.nodes) == 2 else [("wait_for_all", int(wait))],
        "msgwait": msgwait(description.sbd) if description.sbd else None,
        "members": members,
        "tcp_ports": tcp_ports,
        "udp_ports": udp_ports,
        "migration_names": migration_names(description),
        "certificate_names": certificate_names(description),
    }
