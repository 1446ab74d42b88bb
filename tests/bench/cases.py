"""The acceptance list: each case is tried on both agents, on real guests."""

from __future__ import annotations

import threading

from kvmha.errors import UserError
from kvmha.host import CommandError
from tests.bench import cases_of_form, cases_of_moving, cases_of_outage, cases_of_truth
from tests.bench.calls import OURS, SHELL, SIDES
from tests.bench.case import Case, Finding, Outcome, Trial, Unfit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.calls import Side
    from tests.bench.stage import Stage

    Say = Callable[[str], None]

CASES = tuple(
    sorted(
        (*cases_of_truth.CASES, *cases_of_outage.CASES, *cases_of_moving.CASES, *cases_of_form.CASES),
        key=lambda case: case.number,
    )
)


def try_all(stage: Stage, wanted: list[Case], say: Say) -> Iterator[Outcome]:
    """Try cases and yield what came of each; say what is done, and how it went."""
    for case in wanted:
        say(f"case {case.number}: {case.name}")
        outcome = _try(stage, case)
        for side, found in ((SHELL, outcome.shell), (OURS, outcome.ours)):
            say(f"    {side.provider:<10} {'right' if found.is_right else 'WRONG'}: {found.did}")
        yield outcome


def _try(stage: Stage, case: Case) -> Outcome:
    found: dict[str, Finding] = {}

    def attempt(side: Side, node: str, nodes: tuple[str, ...]) -> None:
        found[side.name] = _attempt(stage, case, side, node, nodes)

    if case.is_alone:
        for side in SIDES:
            attempt(side, stage.nodes[0], stage.nodes)
    else:
        threads = [
            threading.Thread(target=attempt, args=(side, node, (node,)), daemon=True)
            for side, node in zip(SIDES, stage.nodes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Outcome(
        number=case.number, name=case.name, wanted=case.wanted, shell=found[SHELL.name], ours=found[OURS.name]
    )


def _attempt(stage: Stage, case: Case, side: Side, node: str, nodes: tuple[str, ...]) -> Finding:
    trial = Trial(stage, side, node, nodes)
    try:
        # What undoes may fail as well, and says so in the same way.
        with trial.undo:
            return case.attempt(trial)
    except Unfit as error:
        return trial.finding(False, str(error))
    except (UserError, CommandError, OSError) as error:
        return trial.finding(False, f"could not be tried to its end: {error}")
