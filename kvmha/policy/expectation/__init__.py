"""What Pacemaker's scheduler will do, foretold without asking it; see scheduler for what is known of it."""

from __future__ import annotations

from kvmha.policy.expectation.scheduler import Expectation, check_invariants, foresee

__all__ = ["Expectation", "check_invariants", "foresee"]
