"""Where the files lie that are no Python: in the checkout, else where pip or the system's package put them."""

from __future__ import annotations

import os
import sys
import sysconfig

from kvmha.errors import UserError


def folder(name: str) -> str:
    """Return the folder of that name. Raises UserError where it is not installed."""
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # Debian's pip installs below /usr/local, which sysconfig knows and sys.prefix does not.
    shares = [f"{prefix}/share/kvmha" for prefix in (sysconfig.get_path("data"), sys.prefix, "/usr")]
    places = [f"{place}/{name}" for place in (checkout, *shares)]
    for place in places:
        if os.path.isdir(place):
            return place
    raise UserError(f"no {name} in {', '.join(dict.fromkeys(places))}; install kvmha again")
