"""What a person at the terminal is told instead of a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, or something that is not possible here: one sentence that says what is wrong and what to do.

    The command line prints it and leaves with exit code 2. Whoever raises it has left nothing half-made.
    """
