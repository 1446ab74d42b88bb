"""Is fencing proven: which paths there are, what came of trying them, and how old that is.

A path is one fence device, the node that it would fence, and the node that would have to use it. Invariant: a path
that was not tried, or too long ago, is never said to work; and of several trials the last one counts, whatever the
ones before it said.
"""

from __future__ import annotations

import json

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

ATTRIBUTE = "kvmha-fence-proof"
"""The permanent attribute in which each node keeps what came of its own trials, so that every node knows of all."""

DAY_S = 86_400.0

FRESH_S = 2 * DAY_S
"""How long a trial counts: the timer tries every day, and may be late once."""

AHEAD_S = 60.0
"""How far the clock of another node may be ahead of ours; what is further in the future proves nothing."""

KEPT = 9
"""How many times of answers are kept for each path, those of earlier days among them."""

SAID_LIMIT = 160

ON, OFF, ANSWERS, FAILED = "on", "off", "answers", "failed"
"""What a trial found: the target's power, that the device answers without telling that, or nothing that would serve."""


class Path(Record):
    """One way to fence a node."""

    device: str
    target: str
    node: str
    """Who would use it."""


class Trial(Record):
    """What came of trying one path."""

    device: str
    target: str
    node: str
    at: float
    """Seconds since the epoch."""
    state: str
    seconds: tuple[float, ...] = ()
    """What each call took that was answered, the latest last."""
    start_s: float | None = None
    """What the agent took just before to say what it is, which asks no device: its own start. None: not measured."""
    said: str = ""
    """Why it failed."""
    cycled_at: float = 0.0
    """When its target was really switched off by it for a trial, and came back; 0 for never."""

    @property
    def path(self) -> Path:
        """The path that was tried."""
        return Path(device=self.device, target=self.target, node=self.node)

    @property
    def is_good(self) -> bool:
        """Whether the device would have done it, as far as a question can tell."""
        return self.state != FAILED


class Judged(Record):
    """A path, and what is known of it today."""

    path: Path
    trial: Trial | None
    is_fresh: bool
    """It was tried, not too long ago."""

    @property
    def is_proven(self) -> bool:
        """Whether it can be relied on."""
        return self.is_fresh and self.trial is not None and self.trial.is_good


def judge(known: Iterable[Path], trials: Iterable[Trial], *, now: float) -> tuple[Judged, ...]:
    """Return what is known of each path; a trial from the future proves nothing."""
    last: dict[Path, Trial] = {}
    for trial in trials:
        before = last.get(trial.path)
        if before is None or trial.at >= before.at:
            last[trial.path] = trial
    found = []
    for path in known:
        tried = last.get(path)
        is_fresh = tried is not None and -AHEAD_S <= now - tried.at <= FRESH_S
        found.append(Judged(path=path, trial=tried, is_fresh=is_fresh))
    return tuple(found)


def percentile(seconds: Sequence[float], percent: float) -> float:
    """Return the least of some times that is not exceeded by that part of them (the nearest rank); 0 for none."""
    if not seconds:
        return 0.0
    ordered = sorted(seconds)
    rank = max(-(-len(ordered) * percent // 100), 1)
    return ordered[int(rank) - 1]


def merged(before: Iterable[Trial], made: Iterable[Trial], known: Iterable[Path]) -> tuple[Trial, ...]:
    """Return the last trial of each path that there still is, with the times of those before it."""
    last: dict[Path, Trial] = {}
    for trial in sorted((*before, *made), key=lambda trial: trial.at):
        earlier = last.get(trial.path, trial.replace(seconds=()))
        cycled = max(earlier.cycled_at, trial.cycled_at)
        start = earlier.start_s if trial.start_s is None else trial.start_s
        seconds = (*earlier.seconds, *trial.seconds)[-KEPT:]
        last[trial.path] = trial.replace(seconds=seconds, start_s=start, cycled_at=cycled)
    return tuple(last[path] for path in known if path in last)


def written(trials: Iterable[Trial]) -> str:
    """Return one node's trials as the value of its attribute: short, since every node of the cluster keeps it."""
    rows = [_row(each) for each in trials]
    return json.dumps(rows, separators=(",", ":"))


def _row(trial: Trial) -> list[Any]:
    seconds, said = list(trial.seconds[-KEPT:]), trial.said[:SAID_LIMIT]
    row = [trial.device, trial.target, int(trial.at), trial.state, seconds, said]
    if trial.start_s is not None:
        return [*row, int(trial.cycled_at), trial.start_s]
    return [*row, int(trial.cycled_at)] if trial.cycled_at else row


def read(node: str, text: str) -> tuple[Trial, ...]:
    """Return the trials in a node's attribute; nothing for what is none, since what is not known is not proven."""
    try:
        rows = json.loads(text)
        return tuple(_trial(node, row) for row in rows)
    except (ValueError, TypeError, IndexError, AttributeError):
        return ()


def _trial(node: str, row: Any) -> Trial:
    # The last two came later.
    device, target, at, state, seconds, said, *rest = row
    cycled_at, start = rest[0] if rest else 0.0, rest[1] if len(rest) > 1 else None
    if state not in (ON, OFF, ANSWERS, FAILED):
        raise ValueError(state)
    return Trial(
        device=str(device), target=str(target), node=node, at=float(at), state=state,
        seconds=tuple(float(each) for each in seconds), said=str(said), cycled_at=float(cycled_at),
        start_s=None if start is None else float(start),
    )  # fmt: skip


def cycled(path: Path, *, at: float) -> Trial:
    """Return what a real power cycle proves of a path: its device switches its target, and not only answers."""
    return Trial(device=path.device, target=path.target, node=path.node, at=at, state=ON, cycled_at=at)


def trials_of(attributes: Mapping[str, Mapping[str, str]]) -> tuple[Trial, ...]:
    """Return the trials of all nodes, from the attributes of each."""
    return tuple(
        trial for node, values in sorted(attributes.items()) for trial in read(node, values.get(ATTRIBUTE, ""))
    )


def sentence(judged: Sequence[Judged], *, now: float) -> tuple[bool | None, str]:
    """Return whether every path is proven (None where some was not tried lately), and one sentence on that."""
    bad = [each for each in judged if each.is_fresh and not each.is_proven]
    if bad:
        path, trial = bad[0].path, bad[0].trial
        more = f", and {len(bad) - 1} paths more" if len(bad) > 1 else ""
        why = trial.said if trial is not None else ""
        return False, f"{path.node} cannot fence {path.target} by {path.device}: {why}{more}"
    stale = [each for each in judged if not each.is_fresh]
    if stale:
        ever = [each for each in stale if each.trial is not None]
        word = f"{len(stale)} of {len(judged)} paths were not tried in the last {FRESH_S / DAY_S:.0f} days"
        which = (ever or stale)[0].path
        return None, f"{word} (such as {which.device} from {which.node}); kvmha fence prove does that"
    if not judged:
        return None, "there is no path to try"
    oldest = max(now - each.trial.at for each in judged if each.trial is not None)
    return True, f"all {len(judged)} paths answered, longest ago {ago(oldest)}"


def ago(seconds: float) -> str:
    """Return an age in words."""
    hours = seconds / 3600
    if hours >= 48:
        return f"{hours / 24:.0f} days ago"
    return f"{hours:.0f} hours ago" if hours >= 1 else "just now"


def check_invariants(judged: Iterable[Judged], *, now: float) -> None:
    """Raise AssertionError where something is said to be proven that is not."""
    for each in judged:
        if each.is_proven:
            assert each.trial is not None
            assert each.trial.path == each.path
            assert each.trial.is_good
            assert now - each.trial.at <= FRESH_S
