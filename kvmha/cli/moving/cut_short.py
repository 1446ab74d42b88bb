"""A move with its disks that ended by a SIGKILL: found by the next command, and put right, or told in one sentence."""

from __future__ import annotations

from kvmha.cli.moving.copying import Carrying
from kvmha.errors import UserError
from kvmha.resources.virtual_domain import set_aside
from kvmha.tools import cib
from kvmha.tools.cib import moves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.cli.moving.sight import Sight
    from kvmha.resources.virtual_domain.set_aside import SetAside


def mend(sight: Sight, name: str, *, may_change: bool, say: Callable[[str], None]) -> bool:
    """Put right what is left of an earlier move of a guest with its disks; tell whether there was any.

    Raises UserError where that cannot be done from here, or is not to be done.
    """
    found = set_aside.read(sight.host, name)
    root = cib.tree(cib.live(sight.host))
    holder = moves.held(root, name)
    runs_on = sight.guest(name).nodes
    if holder and not runs_on and holder != sight.here:
        # What is written down here is of an earlier move, after which the guest has run elsewhere.
        raise UserError(f"{name} is kept stopped for a move with its disks from {holder}, under way or cut short: "
                        f"kvmha migrate {name} on {holder} puts right what is left of one")  # fmt: skip
    if found is None:
        return False
    if _is_alive(sight, found):
        raise UserError(f"a move of {name} with its disks is under way here, process {found.pid}")
    if runs_on and (not holder or runs_on == (found.target,)):
        # It was cut short after all that matters, or before; what may have run on the target is not removed there.
        if may_change:
            set_aside.forget(sight.host, name)
        return False
    if not runs_on and not holder:
        raise UserError(f"{name} was to start on {found.target}, which has its disks since a move that was cut short, "
                        f"and runs nowhere: see there why, and kvmha decisions --guest {name}")  # fmt: skip
    if not may_change:
        raise UserError(f"an earlier move of {name} with its disks was cut short; without --dry-run it is undone first")
    say(f"an earlier move of {name} with its disks was cut short, and is undone")
    left = Carrying.left_over(sight, sight.guest(name), found, say=say).undo()
    say(left.lstrip("; "))
    sight.refresh()
    return True


def _is_alive(sight: Sight, found: SetAside) -> bool:
    """Tell whether the command that led the move is still there; its number may be another program's by now."""
    return any("kvmha" in word for word in sight.host.cmdline(found.pid)[:3])
