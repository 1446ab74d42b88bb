"""What the second site must be to this one."""

from __future__ import annotations

from kvmha.cluster.contradictions.reading import group, names, numbered, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Faults = Iterator[tuple[str, str]]


def wrong_sites(values: dict[str, Any]) -> Faults:
    """Sites and arbitrators can form a majority, and this cluster is one of the sites."""
    booth = group(values, "booth")
    sites, here = names(booth, "sites"), booth.get("here")
    if here is not None and "sites" in booth and here not in sites:
        yield "booth.here", f'"{here}" is no site; expected {one_of(sites, "a site")}'
    if "sites" in booth and len(booth["sites"]) < 2:
        yield "booth.sites", f"{len(booth['sites'])} sites; expected at least 2"
    elif "sites" in booth and "arbitrators" in booth:
        voters = len(booth["sites"]) + len(booth["arbitrators"])
        if voters % 2 == 0:
            said = f"{len(booth['sites'])} sites and {len(booth['arbitrators'])} arbitrators; expected an odd number"
            yield "booth.sites", f"{said} together, so that one part of a split has the majority"
    for kind in ("sites", "tickets"):
        seen: dict[str, str] = {}
        for place, item in numbered(booth, kind):
            name, inside = item.get("name"), f"booth.{place}.name"
            if name and seen.setdefault(name, inside) != inside:
                yield inside, f'"{name}" is also {seen[name]}; expected a name of its own'
    for place, ticket in numbered(booth, "tickets"):
        if not {"expire", "timeout", "retries"} <= ticket.keys():
            continue
        # boothd(8): timeout * (retries + 1) has to be less than half of expire, after which a ticket is renewed.
        least = 2 * ticket["timeout"] * (ticket["retries"] + 1)
        if ticket["expire"] <= least:
            said = (
                f'"{ticket["expire"]}" leaves no time to ask {ticket["retries"]} times more for {ticket["timeout"]} s'
            )
            yield f"booth.{place}.expire", f"{said}; expected more than {least}"


RULES = (wrong_sites,)
