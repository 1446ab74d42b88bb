"""What a cluster's configuration says, in one form for a description, for files and for a live cluster.

Invariant: all three take the same way through the readers of corosync.conf and of the CIB, so a rule cannot judge one
otherwise than another.
"""

from __future__ import annotations

from kvmha.cluster.facts.described import of_description, with_description
from kvmha.cluster.facts.reading import of_files
from kvmha.cluster.facts.records import DESCRIPTION, FILES, LIVE, Facts

__all__ = ["DESCRIPTION", "FILES", "LIVE", "Facts", "of_description", "of_files", "with_description"]
