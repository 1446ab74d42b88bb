"""The local disks of a guest, copied to another node while the cluster keeps it stopped, and compared there.

Invariant: the guest is started nowhere but on its source until every copy is whole and compared. Then the source's own
disks get other names, so that no node ever starts the guest from an old state of them. Whatever ends this earlier
leaves the disks of the source as they are, and the guest runs there again; after a SIGKILL that is done by the agent,
when the cluster starts it, or by the next command, from what is written down here as it goes (set_aside).
"""

from __future__ import annotations

import os

from kvmha.cli.moving.watching import Interruptible
from kvmha.host import CommandError
from kvmha.policy.copying import Copying
from kvmha.resources.virtual_domain import set_aside
from kvmha.tools import cib, crm_resource, stat
from kvmha.tools.cib import moves
from kvmha.tools.libvirtd import LibvirtError, Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.cli.moving.sight import GuestSight, Sight
    from kvmha.policy.copying import File
    from kvmha.resources.virtual_domain.set_aside import SetAside
    from kvmha.tools.libvirtd import Copied

HOLD_S = 300.0
"""Seconds after which a guest whose move nobody leads any more is started again on its source."""

HOLD_STEP_S = 60.0
"""Seconds between two extensions of that."""

SILENCE_S = 120.0
"""Seconds without a byte after which the path counts as cut."""

COPY_LIMIT = 7 * 24 * 3600.0
REFRESH_LIMIT = 60.0
POLL = 1.0
SLACK_S = 60.0


class CopyError(Exception):
    """The disks were not copied; the message says why, and what became of the guest."""


class Carrying:
    """The way of a guest's disks to another node."""

    def __init__(
        self,
        sight: Sight,
        guest: GuestSight,
        target: str,
        found: Copying,
        *,
        say: Callable[[str], None],
        source: str = "",
    ) -> None:
        self.sight = sight
        self.host = sight.host
        self.guest = guest
        self.source = source or guest.source
        self.target = target
        self.files = found.files
        self.say = say
        self.copied: list[Copied] = []
        self.set_aside: dict[str, str] = {}
        """The new names of the source's disks, by path."""
        self._made: list[str] = []
        self._names: dict[str, str] = {}
        self._here = guest.lasting_libvirt(self.source)
        self._there = guest.lasting_libvirt(target, COPY_LIMIT)
        self._begun = self.host.now()
        self._held_until = 0.0
        self._extended_at = self._moved_at = self._said_at = 0.0
        self._at = 0
        self._is_stopped = False
        self._is_left_over = False

    @classmethod
    def left_over(cls, sight: Sight, guest: GuestSight, found: SetAside, *, say: Callable[[str], None]) -> Carrying:
        """Return what was cut short, so that it can be undone."""
        carrying = cls(sight, guest, found.target, Copying(files=(), reasons=()), say=say, source=found.source)
        carrying._made, carrying._names = list(found.copies), dict(found.names)
        carrying._is_left_over = True
        return carrying

    @property
    def elapsed(self) -> float:
        """Seconds since the guest was to stop."""
        return self.host.now() - self._begun

    def pairs(self) -> tuple[tuple[File, Copied], ...]:
        """Return the files that went, each with what was seen of its way."""
        return tuple(zip(self.files, self.copied))

    def run(self) -> None:
        """Stop the guest, copy, compare, set aside; the cluster keeps it stopped then.

        Raises CopyError after all has been undone, and KeyboardInterrupt alike.
        """
        try:
            with Interruptible():
                self._write_down()
                self._hold()
                self._wait_stopped()
                for file in self.files:
                    self._copy(file)
                self._check_stopped()
                self._put_aside()
        except (CommandError, CopyError, OSError) as error:
            raise CopyError(f"{error}{self.undo()}") from None
        except BaseException:
            self._is_stopped = True
            rest = self.undo()
            if rest:
                self.say(rest.lstrip("; "))
            raise

    # -------------------------------------------------------------------- steps

    def _hold(self) -> None:
        until = self.host.wall_clock() + HOLD_S
        cib.change(self.host, lambda root: moves.hold(root, self.guest.name, self.source, until=int(until)))
        self._held_until, self._extended_at = until, self.host.now()

    def _wait_stopped(self) -> None:
        until = self.host.now() + self._limit("stop")
        while not self._is_down():
            if self.host.now() > until:
                raise CopyError(f"the cluster did not stop {self.guest.name}")
            self._keep_held()
            self.host.sleep(POLL)
            self.sight.refresh()

    def _is_down(self) -> bool:
        status = self.sight.status.resource(self.guest.name)
        if status is not None and (status.nodes or status.pending):
            return False
        domain = self._here.domain(self.guest.identity)
        return domain is None or not domain.is_active

    def _check_stopped(self) -> None:
        self.sight.refresh()
        if not self._is_down():
            raise CopyError(f"somebody started {self.guest.name} while its disks were copied")

    def _copy(self, file: File) -> None:
        # It was looked at while the guest ran, and may have grown since.
        file = file.replace(size=stat.facts(self.host, file.path).size)
        self._at, self._moved_at = 0, self.host.now()
        self.say(f"copying {file.path}, {_mib(file.allocated)} of {_mib(file.size)} in use")
        fd = self.host.open_to_read(file.path)
        try:
            sent = self._there.send_file(
                fd,
                file.path,
                owner=file.owner,
                on_made=lambda: self._note_made(file.path),
                on_bytes=self._on_bytes,
                watch=lambda: self._watch(file, "sent"),
            )
        finally:
            self.host.close(fd)
        self._at, self._moved_at = 0, self.host.now()
        found = self._there.digest_of(file.path, on_bytes=self._on_bytes, watch=lambda: self._watch(file, "compared"))
        if (sent.size, sent.digest) != (file.size, found):
            raise CopyError(f"the copy of {file.path} on {self.target} is another than the original: {found[:12]}, "
                            f"and {sent.digest[:12]} was sent, {sent.size} of {file.size} bytes")  # fmt: skip
        self.copied.append(sent)
        self.say(f"{file.path} is the same on both nodes: SHA-256 {found}")

    def _on_bytes(self, at: int) -> None:
        """Note how far a file is; called from the thread that sends."""
        if self._is_stopped:
            raise Stopped
        self._at, self._moved_at = at, self.host.now()

    def _watch(self, file: File, what: str) -> None:
        now = self.host.now()
        if now - self._moved_at > SILENCE_S:
            self._is_stopped = True
            raise CopyError(f"nothing of {file.path} was {what} for {SILENCE_S:.0f} s")
        self._keep_held()
        if now - self._said_at >= 5.0 and self._at:
            self._said_at = now
            self.say(f"{file.path}: {_mib(self._at)} of {_mib(file.size)} {what}")

    def _keep_held(self) -> None:
        if self.host.now() - self._extended_at < HOLD_STEP_S:
            return
        try:
            self._hold()
        except CommandError as error:
            if self.host.wall_clock() > self._held_until - HOLD_STEP_S:
                self._is_stopped = True
                raise CopyError(f"the cluster cannot be kept from starting it: {error}") from None

    def _put_aside(self) -> None:
        """Give the source's disks other names; what others may read as well keeps its own."""
        from datetime import datetime, timezone

        moment = datetime.fromtimestamp(self.host.wall_clock(), timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        going = [file.path for file in self.files if not file.is_read_only]
        self._names = {path: f"{path}.moved-to-{self.target}-{moment}" for path in going}
        self._write_down()
        for path, new in self._names.items():
            self.host.rename(path, new)
            self.set_aside[path] = new

    def _note_made(self, path: str) -> None:
        self._made.append(path)
        self._write_down()

    def _write_down(self) -> None:
        set_aside.write(self.host, self.guest.name, self._state())

    def _state(self) -> SetAside:
        return set_aside.SetAside(
            source=self.source,
            target=self.target,
            pid=os.getpid(),
            names=self._names,
            copies=tuple(self._made),
        )

    def forget(self) -> None:
        """Note that the guest has arrived, or is back: nothing is left to put right."""
        set_aside.forget(self.host, self.guest.name)

    # --------------------------------------------------------------------- undo

    def undo(self) -> str:
        """Put all back and wait for the guest; return what is left to say."""
        left = []
        set_aside.put_back(self.host, self._state())
        self.set_aside = {}
        for path in self._made:
            try:
                self._removed(path)
            except CommandError as error:
                left.append(f"{path} is left on {self.target} and has to be removed there ({error})")
        try:
            if self._is_left_over:
                # The cluster may have tried to start it meanwhile, and failed.
                crm_resource.refresh(self.host, self.guest.name, node=self.source, timeout=REFRESH_LIMIT)
            cib.change(self.host, lambda root: moves.withdraw(root, self.guest.name))
            self.forget()
            left.append(self._wait_back())
        except CommandError as error:
            left.append(f"the cluster was not told to start it again ({error}), and does so within {HOLD_S:.0f} s")
        return "".join(f"; {sentence}" for sentence in left)

    def _removed(self, path: str) -> None:
        """Remove what was made there; the thread that sends may be about to do the same."""
        for _ in range(3):
            try:
                self.guest.libvirt(self.target).remove_file(path)
                return
            except LibvirtError as error:
                refusal = error
                self.host.sleep(POLL)
        raise refusal

    def _wait_back(self) -> str:
        until = self.host.now() + self._limit("start")
        while self.host.now() < until:
            self.sight.refresh()
            status = self.sight.status.resource(self.guest.name)
            if status is not None and status.nodes == (self.source,) and not status.pending:
                return f"{self.guest.name} was started on {self.source} again"
            self.host.sleep(POLL)
        return f"{self.guest.name} does not run again yet"

    def _limit(self, name: str) -> float:
        operation = self.sight.cib.operation(self.guest.resource, name)
        found = cib.milliseconds(operation.timeout) if operation is not None else None
        return (found or 20_000) / 1000 + SLACK_S


def _mib(size: int) -> str:
    return f"{size / 1048576:.0f} MiB"
