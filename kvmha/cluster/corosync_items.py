"""corosync.conf as one item with fields, to be compared like the rest of the configuration."""

from __future__ import annotations

from kvmha.cluster.difference_items import COROSYNC, Item
from kvmha.tools import corosync_conf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvmha.tools.corosync_conf import Section

ID = "corosync.conf"

PASSED_OVER = ("version", "config_version", "cluster_uuid", "clear_node_high_bit", "ip_version", "transport", "secauth")
"""Keys of totem that say nothing of how the cluster behaves, or that pcs writes for itself."""

LIVE = ("token", "token_coefficient", "token_retransmits_before_loss_const", "join", "consensus", "max_messages")
"""Keys of totem that corosync takes over while it runs (corosync.conf(5)), by pcs cluster config update."""


def items(text: str | None) -> dict[str, Item]:
    """Return the item of a corosync.conf; nothing where there is none. Raises CorosyncConfError."""
    if text is None:
        return {}
    return {ID: Item(id=ID, kind=COROSYNC, title=ID, fields=fields(corosync_conf.parse(text)))}


def fields(root: Section) -> dict[str, str]:
    """Return what a file says, under names with dots; nodes by their names, links by their numbers."""
    totem, quorum = root.section("totem"), root.section("quorum")
    found = {f"totem.{key}": value for key, value in totem.values if key not in PASSED_OVER}
    for number, link in enumerate(totem.all("interface")):
        link_number = link.value("linknumber", str(number))
        found.update({f"link {link_number}.{key}": value for key, value in link.values if key != "linknumber"})
    found.update({f"quorum.{key}": value for key, value in quorum.values})
    if quorum.is_yes("two_node"):
        # It is implied (votequorum(5)), and pcs does not write what is implied.
        found.setdefault("quorum.wait_for_all", "1")
    device = quorum.section("device")
    found.update({f"quorum device.{key}": value for key, value in device.values})
    for model in device.sections:
        found.update({f"quorum device.{model.name}.{key}": value for key, value in model.values})
    for node in root.section("nodelist").all("node"):
        name = node.value("name") or node.value("ring0_addr")
        found.update({f"node {name}.{key}": value for key, value in node.values if key != "name"})
    return found


def changes_live(values: Mapping[str, str | None]) -> bool:
    """Tell whether all of these fields can be changed while the cluster runs."""
    return all(name.startswith("totem.") and name.partition(".")[2] in LIVE for name in values)
