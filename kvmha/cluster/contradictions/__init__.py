"""Fields that are right in themselves and do not go together: each with its place and what was expected.

The values are those of the reader, as dicts: a field that is wrong in itself is absent, and no rule may trip over
that.
"""

from __future__ import annotations

from kvmha.cluster.contradictions import identity, membership, surroundings, workload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

RULES = (*membership.RULES, *identity.RULES, *workload.RULES, *surroundings.RULES)


def find(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield place and fault of every contradiction."""
    if values:
        for rule in RULES:
            yield from rule(values)
