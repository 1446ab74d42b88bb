"""What was applied last: a digest of every field, kept in the configuration itself.

By it a change by hand is told from a change of the description. It is part of the cluster's configuration, as one
property that the cluster does not know and that means nothing to it, because there it is the same for all nodes, is
written in one transaction with what it speaks of, and is never older than that. A file of one node would be missed on
the others, and could lag behind after an interruption.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib

from kvmha.tools.cib import editing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any as Element

    from kvmha.tools import cib

NAME = "kvmha-applied"
"""The property, and its block's id: a block of its own, so that pcs and crmsh leave it alone."""

DIGITS = 6

Record = dict[str, dict[str, str]]
"""Digests by item and field."""


def digest(value: str) -> str:
    """Return a few digits that differ where values do; passwords are among them, so that more would not be wanted."""
    import hashlib

    return hashlib.sha256(value.encode()).hexdigest()[:DIGITS]


def read(live: cib.Cib) -> Record:
    """Return what was applied last; nothing where nothing was, or where the property was spoiled."""
    text = next((block.values.get(NAME, "") for block in live.property_sets if block.id == NAME), "")
    try:
        found = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
        return {str(item): {str(key): str(value) for key, value in fields.items()} for item, fields in found.items()}
    except (ValueError, AttributeError, binascii.Error, zlib.error):
        return {}


def write(root: Element, record: Mapping[str, Mapping[str, str]]) -> None:
    """Put a record into a configuration, in the place of the one before."""
    packed = zlib.compress(json.dumps(record, separators=(",", ":"), sort_keys=True).encode(), 9)
    section = editing.section(root, "crm_config")
    block = editing.element(root, NAME)
    if block is None:
        block = root.makeelement("cluster_property_set", {"id": NAME})
        # Behind the cluster's own, which tools take for the first.
        section.append(block)
    for pair in list(block):
        block.remove(pair)
    pair = root.makeelement("nvpair", {"id": f"{NAME}-record", "name": NAME})
    pair.set("value", base64.b64encode(packed).decode())
    block.append(pair)
