"""libvirt's status files as it wrote them in the lab, and what the cluster is told of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmha.policy.guest_state import DEGRADED, FAILED, RUNNING, judge
from kvmha.policy.model import GuestIdentity, GuestState
from kvmha.tools.qemu_process import STATUS_FOLDER, read_operation
from tests.fakes import FakeHost

RECORDED = Path(__file__).parent / "recorded"


@pytest.mark.parametrize(
    ("file", "state", "operation", "verdict"),
    [
        ("running", GuestState(state="running", reason="booted", pid=70), "", RUNNING),
        ("paused-user", GuestState(state="paused", reason="user", pid=70), "", DEGRADED),
        ("paused-ioerror", GuestState(state="paused", reason="ioerror", pid=1394), "", FAILED),
        ("pmsuspended", GuestState(state="pmsuspended", reason="unknown", pid=1394), "", DEGRADED),
        ("crashed-panicked", GuestState(state="crashed", reason="panicked", pid=1394), "", FAILED),
        # The source and the target of one migration while the target's daemon stands still, and the source after its
        # own daemon was killed meanwhile: the daemon that came back carries nothing on.
        (
            "paused-migration-out",
            GuestState(state="paused", reason="migration", pid=1583), "migration out", DEGRADED,
        ),
        ("paused-migration-in", GuestState(state="paused", reason="migration", pid=150), "migration in", DEGRADED),
        ("paused-migration-abandoned", GuestState(state="paused", reason="migration", pid=1583), "", FAILED),
    ],
)  # fmt: skip
def test_a_status_file_tells_the_state_and_what_libvirt_does_with_the_guest(file, state, operation, verdict):
    host = FakeHost()
    text = (RECORDED / "libvirt-9.0" / f"{file}.xml").read_bytes()
    host.files[f"{STATUS_FOLDER}/web1.xml"] = text
    assert read_operation(host, GuestIdentity(name="web1")) == (state, operation)
    assert judge(state, operation=operation).verdict == verdict
    # A file that is not whole may end before the very element.
    host.files[f"{STATUS_FOLDER}/web1.xml"] = text[: len(text) // 2]
    assert read_operation(host, GuestIdentity(name="web1")) is None
