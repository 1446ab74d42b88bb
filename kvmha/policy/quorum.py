"""Votes: which part of a cluster has quorum, which may fence, and what the loss of one node more would do.

Invariant: of several parts at the same time at most one is quorate, except with ``two_node`` alone, where only fencing
tells the two apart, and with expected_votes below what there are; both are said in words. Follows corosync's own
reckoning (votequorum(5) and exec/votequorum.c; for the device qnetd's algorithms, corosync-qnetd(8)).
"""

from __future__ import annotations

from functools import cached_property

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOWEST, HIGHEST = "lowest", "highest"
FFSPLIT, LMS = "ffsplit", "lms"


class Voter(Record):
    """A node with its votes."""

    name: str
    nodeid: int
    votes: int = 1


class Device(Record):
    """A quorum device and what it votes."""

    algorithm: str = FFSPLIT
    votes: int | None = None
    """None: as many as there are nodes, less one."""


class Settings(Record):
    """What corosync.conf says of votes."""

    voters: tuple[Voter, ...]
    expected_votes: int | None = None
    two_node: bool = False
    wait_for_all: bool | None = None
    """None: as two_node."""
    auto_tie_breaker: bool = False
    tie_breaker: str = LOWEST
    """lowest, highest, or ids of nodes in their turn, separated by spaces."""
    last_man_standing: bool = False
    device: Device | None = None


class Rules(Record):
    """What corosync makes of the settings; ``refusal`` is why it does not start with them."""

    voters: tuple[Voter, ...]
    expected: int
    two_node: bool
    waits: bool
    breaks_ties: bool
    tie_breaker: str
    last_man_standing: bool
    algorithm: str
    device_votes: int
    refusal: str = ""
    notes: tuple[str, ...] = ()

    def voter(self, name: str) -> Voter:
        """Return the node of a name. Raises KeyError."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> Mapping[str, Voter]:
        return {voter.name: voter for voter in reversed(self.voters)}


class Part(Record):
    """Nodes that see each other, and what they know of votes."""

    members: tuple[str, ...]
    """Sorted by node id."""
    previous: tuple[str, ...]
    """Who was in the part before the last change."""
    expected: int
    votes: int
    quorum: int
    is_quorate: bool
    is_waiting: bool
    """wait_for_all is set and not all nodes were seen since quorum was lost, or since the start."""
    has_device: bool = False
    by_tie_breaker: bool = False
    reference: int = 0
    """The node id by which a tie is broken: the lowest or highest of the last quorate membership; 0 for none yet."""


def rules(settings: Settings) -> Rules:
    """Return what corosync makes of the settings (votequorum_readconfig)."""
    voters = tuple(sorted(settings.voters, key=lambda voter: voter.nodeid))
    total = sum(voter.votes for voter in voters)
    device, notes = settings.device, []
    device_votes = 0
    if device is not None:
        device_votes = max(len(voters) - 1, 0) if device.votes is None else device.votes
    two_node = settings.two_node
    waits = settings.two_node if settings.wait_for_all is None else settings.wait_for_all
    breaks_ties = settings.auto_tie_breaker
    if two_node and breaks_ties:
        two_node = False
        notes.append("two_node and auto_tie_breaker exclude each other: corosync goes on without two_node")
    refusal = _refusal(settings, total)
    if breaks_ties and total % 2 and not waits:
        breaks_ties = False
        notes.append("auto_tie_breaker with an odd number of votes needs wait_for_all: corosync goes on without it")
    lasting = settings.last_man_standing
    if lasting and any(voter.votes > 1 for voter in voters):
        lasting = False
        notes.append("last_man_standing counts nodes and not votes: corosync goes on without it")
    return Rules(
        voters=voters,
        expected=total + device_votes if settings.expected_votes is None else settings.expected_votes,
        two_node=two_node,
        waits=waits,
        breaks_ties=breaks_ties,
        tie_breaker=settings.tie_breaker,
        last_man_standing=lasting,
        algorithm=device.algorithm if device is not None else "",
        device_votes=device_votes,
        refusal=refusal,
        notes=tuple(notes),
    )


def _refusal(settings: Settings, total: int) -> str:
    device = settings.device
    if settings.last_man_standing and settings.auto_tie_breaker and total % 2 and not _waits(settings):
        return "auto_tie_breaker and last_man_standing with an odd number of votes and without wait_for_all"
    if device is None:
        return ""
    for name in ("two_node", "last_man_standing", "auto_tie_breaker"):
        if getattr(settings, name):
            return f"a quorum device and {name} exclude each other"
    if device.votes is None and settings.expected_votes is not None:
        return "with expected_votes the quorum device needs its votes said"
    if device.votes is None and total != len(settings.voters):
        return "with nodes that have other than one vote the quorum device needs its votes said"
    if device.votes and settings.expected_votes is not None and settings.expected_votes - device.votes < 2:
        return "the quorum device has too many of the expected votes"
    return ""


def _waits(settings: Settings) -> bool:
    return settings.two_node if settings.wait_for_all is None else settings.wait_for_all


def whole(settings: Settings, *, device_alive: bool = True) -> Part:
    """Return the part that all nodes make, once they have all seen each other."""
    held = rules(settings)
    return _join(held, tuple(voter.name for voter in held.voters), votes_of_device(held, device_alive=device_alive))


def booted(settings: Settings, members: Iterable[str], *, with_device: bool = False) -> Part:
    """Return the part that nodes make which have just booted, and have seen nobody else."""
    held = rules(settings)
    return _join(held, tuple(members), held.device_votes if with_device else 0)


def votes_of_device(held: Rules, *, device_alive: bool) -> int:
    """Return the votes that the device has to give."""
    return held.device_votes if device_alive else 0


def _join(held: Rules, members: tuple[str, ...], device_votes: int) -> Part:
    empty = Part(
        members=(), previous=(), expected=held.expected, votes=0, quorum=0, is_quorate=False, is_waiting=held.waits
    )
    return after(held, empty, members, device_votes=device_votes)


def after(held: Rules, part: Part, members: Iterable[str], *, device_votes: int = 0) -> Part:
    """Return what nodes of a part become when they see only each other from now on (recalculate_quorum).

    Quorum never sinks by itself: only last_man_standing lets it, after its window (``settled``).
    """
    chosen = _sorted(held, members)
    own = sum(held.voter(name).votes for name in chosen)
    votes = own + device_votes
    expected = max(part.expected, own + held.device_votes)
    quorum = max((expected + 2) // 2, (votes + 2) // 2, part.quorum)
    if held.two_node and len(chosen) + bool(device_votes) <= 2:
        quorum = 1
    made = part.replace(
        members=chosen, previous=part.members, expected=expected, votes=votes, quorum=quorum,
        has_device=bool(device_votes), by_tie_breaker=False,
    )  # fmt: skip
    return _decided(held, made)


def settled(held: Rules, part: Part) -> Part:
    """Return the part after the window of last_man_standing, in which the votes that are gone are forgotten."""
    has_left = bool(set(part.previous) - set(part.members))
    ids = [held.voter(name).nodeid for name in part.members]
    breaks = held.breaks_ties and part.reference in ids and len(part.members) <= part.quorum
    is_due = has_left and len(part.members) >= part.quorum
    if not (held.last_man_standing and part.is_quorate and (is_due or breaks)):
        return part
    count = len(part.members)
    quorum = max((count + 2) // 2, (part.votes + 2) // 2)
    if held.two_node and count + part.has_device <= 2:
        quorum = 1
    return _decided(held, part.replace(expected=count, quorum=quorum))


def _decided(held: Rules, part: Part) -> Part:
    """Answer the question of quorum (are_we_quorate)."""
    if part.is_waiting and part.votes != part.expected:
        return part.replace(is_quorate=False)
    is_quorate, reference, by_tie = part.votes >= part.quorum, part.reference, False
    ids = [held.voter(name).nodeid for name in part.members]
    if is_quorate:
        reference = max(ids) if held.tie_breaker == HIGHEST else min(ids)
    # Half of the votes, and the others cannot have quorum by themselves.
    elif held.breaks_ties and part.votes == part.expected // 2 and len(part.previous) - len(ids) < part.quorum:
        by_tie = _breaks_tie(held, part, ids, reference)
    is_quorate = is_quorate or by_tie
    waits = held.waits and not is_quorate
    return part.replace(is_quorate=is_quorate, by_tie_breaker=by_tie, reference=reference, is_waiting=waits)


def _breaks_tie(held: Rules, part: Part, ids: list[int], reference: int) -> bool:
    if held.tie_breaker in (LOWEST, HIGHEST):
        return reference in ids
    before = {held.voter(name).nodeid for name in part.previous}
    words = (word for word in held.tie_breaker.split() if word.isascii() and word.isdecimal())
    for number in map(int, words):
        if number in ids:
            return True
        if number in before:
            # It may run in the other half, and then that one goes on.
            return False
    return False


def _sorted(held: Rules, members: Iterable[str]) -> tuple[str, ...]:
    wanted = set(members)
    return tuple(voter.name for voter in held.voters if voter.name in wanted)


def device_choice(held: Rules, parts: Iterable[Iterable[str]]) -> int | None:
    """Return which part is given the votes of the device, by its place, None for none; all nodes are taken to reach it.

    ffsplit gives them to more than half of the nodes, or to one of two halves; lms to the largest part. Of equals the
    one with the lowest node id is chosen.
    """
    if not held.device_votes:
        return None
    found = [_sorted(held, members) for members in parts]
    places = [place for place, members in enumerate(found) if members]
    if held.algorithm != LMS:
        places = [place for place in places if 2 * len(found[place]) >= len(held.voters)]
    if not places:
        return None
    return min(places, key=lambda place: (-len(found[place]), held.voter(found[place][0]).nodeid))


class Verdict(Record):
    """A part of a split cluster, and what it may do."""

    part: Part
    may_fence: bool
    """It has quorum, and so fences the nodes that it does not see."""
    fatal: tuple[str, ...] = ()
    """The members of which each one's loss takes quorum from the rest."""
    spare: int = 0
    """How many nodes more may go, one after the other and whichever, before quorum is lost."""
    device_is_fatal: bool = False
    said: tuple[str, ...] = ()


class Judgement(Record):
    """All parts; ``warnings`` are what is wrong with the whole of it."""

    rules: Rules
    parts: tuple[Verdict, ...]
    down: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def judge(
    settings: Settings, parts: Iterable[Iterable[str]], *, device_alive: bool = True, is_cold: bool = False
) -> Judgement:
    """Return who goes on when a whole cluster falls into these parts; nodes that are in none of them are down.

    ``is_cold``: the nodes have just booted into these parts and never were whole before.
    """
    held = rules(settings)
    found = [_sorted(held, members) for members in parts]
    chosen = device_choice(held, found) if device_alive else None
    before = whole(settings, device_alive=device_alive)
    verdicts = []
    for place, members in enumerate(found):
        given = held.device_votes if place == chosen else 0
        if is_cold:
            part = booted(settings, members, with_device=bool(given))
        elif len(found) == 1 and members == before.members and bool(given) == before.has_device:
            part = before
        else:
            part = after(held, before, members, device_votes=given)
        verdicts.append(_verdict(held, part))
    standing = {name for members in found for name in members}
    down = tuple(voter.name for voter in held.voters if voter.name not in standing)
    return Judgement(rules=held, parts=tuple(verdicts), down=down, warnings=_warnings(held, verdicts))


def _verdict(held: Rules, part: Part) -> Verdict:
    if not part.is_quorate:
        return Verdict(part=part, may_fence=False, said=(_why_not(held, part),))
    fatal = tuple(name for name in part.members if not _without(held, part, name).is_quorate)
    device_is_fatal = part.has_device and not after(held, part, part.members).is_quorate
    spare = _spare(held, part)
    said = [_why(held, part)]
    if len(part.members) == 1:
        said.append("it is the last one")
    elif len(fatal) == len(part.members):
        said.append("one more failure stops everything")
    elif fatal:
        said.append(f"the loss of {' or '.join(fatal)} stops everything")
    if device_is_fatal:
        said.append("the loss of the quorum device stops everything")
    return Verdict(
        part=part, may_fence=True, fatal=fatal, spare=spare, device_is_fatal=device_is_fatal, said=tuple(said)
    )


def _without(held: Rules, part: Part, name: str) -> Part:
    """Return a part after the loss of one member; the device votes with whoever it would choose then."""
    rest = tuple(each for each in part.members if each != name)
    if not rest:
        return part.replace(members=(), is_quorate=False)
    given = held.device_votes if part.has_device and device_choice(held, [rest]) == 0 else 0
    return settled(held, after(held, part, rest, device_votes=given))


def _spare(held: Rules, part: Part) -> int:
    """Return how many losses a part survives if always the worst node goes."""
    count = 0
    while len(part.members) > 1:
        # The nodes with the most votes, and those by which ties are broken, are the ones to lose.
        worst = [_without(held, part, name) for name in part.members]
        if not all(each.is_quorate for each in worst):
            return count
        part = min(worst, key=lambda each: (each.votes, each.members))
        count += 1
    return count


def _why(held: Rules, part: Part) -> str:
    if held.two_node and part.quorum == 1 and len(part.members) == 1:
        return "it has quorum by two_node: one vote is enough"
    device = f", {held.device_votes} of them the device's" if part.has_device else ""
    if part.by_tie_breaker:
        return f"it has half of the votes ({part.votes} of {part.expected}) and the node by which a tie is broken"
    return f"it has {part.votes} of {part.expected} votes{device}, and {part.quorum} are needed"


def _why_not(held: Rules, part: Part) -> str:
    if part.is_waiting and part.votes != part.expected and part.votes >= part.quorum:
        return f"wait_for_all: it has {part.votes} votes and waits until it has seen all {part.expected} once"
    return f"it has {part.votes} of {part.expected} votes, and {part.quorum} are needed: it may start and fence nothing"


def _warnings(held: Rules, verdicts: list[Verdict]) -> tuple[str, ...]:
    found = [f"corosync does not start: {held.refusal}"] if held.refusal else []
    found += held.notes
    quorate = [verdict for verdict in verdicts if verdict.part.is_quorate]
    if len(quorate) > 1 and held.two_node:
        found.append("both halves have quorum: only fencing separates them, and the faster one wins")
    elif len(quorate) > 1:
        found.append("more than one part has quorum: guests may run twice")
    if verdicts and not quorate:
        found.append("no part has quorum: nothing is started or fenced until nodes come back")
    return tuple(found)


def check_invariants(judgement: Judgement) -> None:
    """Raise AssertionError where a judgement breaks what this module promises."""
    names = [name for verdict in judgement.parts for name in verdict.part.members]
    assert len(names) == len(set(names)), "a node is in two parts"
    quorate = [verdict for verdict in judgement.parts if verdict.part.is_quorate]
    votes = sum(voter.votes for voter in judgement.rules.voters) + judgement.rules.device_votes
    if not judgement.rules.two_node and judgement.rules.expected >= votes:
        assert len(quorate) <= 1, "two parts are quorate"
    assert all(verdict.may_fence == verdict.part.is_quorate for verdict in judgement.parts), "fencing without quorum"
