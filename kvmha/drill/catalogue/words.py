"""Sentences that several drills share."""

from __future__ import annotations

FENCING_UNDOES = "the cluster fences the node, which boots anew"
TIMER = "the target undoes it itself, by a timer that was set before, if nobody else has done so"
EACH_TIMER = "each node undoes it itself, by a timer that was set before, if nobody else has done so"
STILL_OFF = "a node that is still off at the end is switched on"
