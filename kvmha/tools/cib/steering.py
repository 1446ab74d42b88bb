"""Delays of fence devices that kvmha lays over the configured ones, in a block of their own that can be taken away.

What people have configured stays as it is below it; the block's score makes it count first (Pacemaker Explained, Using
Rules to Determine Resource Options: of several sets the one with the higher score has its way).
"""

from __future__ import annotations

from kvmha.tools.cib import editing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any as Element

STEERING = "-kvmha-survivor"
"""The end of the block's id."""

DELAY = "pcmk_delay_base"


def set_delays(root: Element, delays: Mapping[str, str]) -> None:
    """Lay these delays over those of the fence devices that are named, and take ours away from all others."""
    for primitive in root.find("configuration/resources").iter("primitive"):
        device = primitive.get("id", "")
        wanted = delays.get(device)
        blocks = [each for each in primitive.iterchildren("instance_attributes") if _is_ours(each)]
        if wanted is not None and [_delay(each) for each in blocks] == [wanted]:
            continue
        for each in blocks:
            editing.remove(each)
        if wanted is not None:
            name = f"{device}{STEERING}"
            editing.add_block(root, primitive, "instance_attributes", name, "INFINITY", {DELAY: wanted})


def _is_ours(block: Element) -> bool:
    return bool(block.get("id", "").endswith(STEERING))


def _delay(block: Element) -> str | None:
    return next((pair.get("value") for pair in block.iterchildren("nvpair") if pair.get("name") == DELAY), None)
