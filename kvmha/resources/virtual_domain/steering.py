"""A live migration while it is under way: looked at twice a second, and pushed, handed over or aborted by its schedule.

What to do is decided in policy/convergence; here it is done, and what libvirt refuses is tried again at the next look.
"""

from __future__ import annotations

from kvmha.policy import convergence
from kvmha.tools.libvirtd import LibvirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.convergence import Course, Limits, Sample, Schedule, Step
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.libvirtd import Progress


class Steering:
    """One move that is steered; it begins when this is made."""

    def __init__(self, agent: VirtualDomain, guest: GuestIdentity, schedule: Schedule, limits: Limits) -> None:
        self.agent = agent
        self.guest = guest
        self.schedule = schedule
        self.limits = limits
        self.begun = agent.host.now()
        # The move itself keeps the other connection.
        self.libvirt = agent.libvirt()
        self.course: Course = convergence.begin(schedule, limits)
        self.seen: Progress | None = None
        """The last that libvirt said of the move."""
        self.wrote_mib_s = 0.0
        """The fastest that the guest was seen to write while it was not slowed down."""
        self.why_aborted = ""
        self._was_refused = False

    @property
    def elapsed(self) -> float:
        """Seconds since the move began."""
        return self.agent.host.now() - self.begun

    @property
    def is_post_copy(self) -> bool:
        """Tell whether the guest was told to run on the target, which cannot be taken back."""
        return self.course.is_post_copy

    def look(self) -> None:
        """Look at the move once, and do what is due."""
        if self.why_aborted:
            return
        try:
            progress = self.libvirt.progress(self.guest)
            if progress is not None:
                self.seen = progress
                if not progress.throttle:
                    self.wrote_mib_s = max(self.wrote_mib_s, progress.dirty_mib_s)
                self.course = convergence.observe(self.course, _sample(progress, self.elapsed))
                if progress.is_handed_over:
                    # The target has been, or is about to be, asked to run it: nothing is pushed or called back now.
                    return
            at = self.elapsed
            step = convergence.next_step(self.course, self.schedule, self.limits, at=at)
            if progress is not None or step.act == convergence.ABORT:
                self._take(step, at)
        except LibvirtError as error:
            if not self._was_refused:
                self.agent.report.log(f"moving {self.guest.name}: {error}", warning=True)
            self._was_refused = True

    def _take(self, step: Step, at: float) -> None:
        course = self.course
        if step.act == convergence.RAISE:
            self.libvirt.set_max_downtime(self.guest, step.downtime_ms)
            self._tell(f"allowed a pause of {step.downtime_ms} ms", step)
        elif step.act == convergence.POST_COPY:
            self.libvirt.start_post_copy(self.guest)
            self._tell("post-copy begins", step)
        elif step.act == convergence.ABORT:
            self.libvirt.abort_job(self.guest)
            self.why_aborted = step.reason
        self.course = convergence.taken(self.course, step)
        if step.act in (convergence.POST_COPY, convergence.ABORT):
            self._write_down(course, at, step)

    def _write_down(self, course: Course, at: float, step: Step) -> None:
        """Keep what cannot be taken back in the journal of decisions."""
        from kvmha import journal

        resource = self.agent.env.instance.partition(":")[0]
        journal.record(
            self.agent.host,
            "push",
            {"course": course, "schedule": self.schedule, "limits": self.limits, "at": at},
            step,
            subject=f"migrate {self.guest.name} {self.agent.env.migrate_target}",
            said=f"{step.act}: {step.reason}",
            guests=sorted({self.guest.name, resource}),
        )

    def _tell(self, what: str, step: Step) -> None:
        self.agent.report.log(f"moving {self.guest.name}: {what}, as {step.reason}")


def _sample(progress: Progress, at: float) -> Sample:
    return convergence.Sample(
        at=at,
        round=progress.round,
        remaining_mib=progress.remaining_mib,
        processed_mib=progress.processed_mib,
        speed_mib_s=progress.speed_mib_s,
        dirty_mib_s=progress.dirty_mib_s,
        throttle=progress.throttle,
        expected_downtime_ms=progress.downtime_ms,
        is_post_copy=progress.is_post_copy,
    )
