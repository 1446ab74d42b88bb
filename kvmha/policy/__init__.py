"""Decisions: pure functions from values to values, without I/O and without a clock."""
