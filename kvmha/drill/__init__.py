"""Drills: a fault that is made on purpose, watched, undone, measured, and compared with what should have happened."""
