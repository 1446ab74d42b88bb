"""What a forecast is made from: measured where that is possible, and never on a guest that moves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvmha.cli.moving import forecasting
from kvmha.policy.migration_path import Path
from kvmha.policy.timing import DEFAULT_BANDWIDTH_MIB_S
from kvmha.tools.libvirtd import LibvirtSilent
from tests.fakes import FakeHost


class Libvirt:
    """A libvirt that measures 12 MiB/s, and remembers being asked to."""

    def __init__(self, job: str = "", *, is_silent: bool = False) -> None:
        self.job_now, self.is_silent, self.measured = job, is_silent, 0

    def job(self, _guest):
        if self.is_silent:
            raise LibvirtSilent("libvirtd does not answer")
        return self.job_now

    def dirty_mib_s(self, _guest):
        self.measured += 1
        return 12.0

    def note(self, _guest):
        return ""


@pytest.fixture
def basis(mocker):
    """Return a function that makes the basis of a forecast, of a guest with these parameters."""
    mocker.patch.object(forecasting, "touched_mib", return_value=None)

    def made(libvirt=None, path=None, *, measures=True, **params):
        chosen = libvirt or Libvirt()
        guest = SimpleNamespace(
            name="web1", source="n1", identity=None, libvirt=lambda _node: chosen,
            agent=SimpleNamespace(param=lambda name: params.get(name, "")),
        )  # fmt: skip
        return forecasting.basis(FakeHost(), guest, path or Path(), memory_mib=256.0, measures=measures)

    return made


def test_how_fast_the_guest_writes_is_measured(basis):
    assert basis().dirty_mib_s == 12.0


@pytest.mark.parametrize("job", ["migration out", "migration in", "dump"])
def test_a_guest_that_has_a_job_is_not_measured_for_they_share_the_log_of_written_pages(basis, job):
    libvirt = Libvirt(job)
    assert (basis(libvirt).dirty_mib_s, libvirt.measured) == (None, 0)


def test_nor_is_one_of_which_that_was_not_asked_or_cannot_be_told(basis):
    libvirt = Libvirt()
    assert (basis(libvirt, measures=False).dirty_mib_s, libvirt.measured) == (None, 0)
    silent = Libvirt(is_silent=True)
    assert (basis(silent).dirty_mib_s, silent.measured) == (None, 0)


@pytest.mark.parametrize(
    ("path", "params", "speed", "said"),
    [
        (Path(), {}, DEFAULT_BANDWIDTH_MIB_S, "assumed: one gigabit per second"),
        (Path(speed_mib_s=80.0, speed_from="seen"), {}, 80.0, "seen"),
        (Path(speed_mib_s=80.0, speed_from="seen"), {"migration_bandwidth": "20"}, 20.0, "migration_bandwidth"),
        (Path(speed_mib_s=80.0, speed_from="seen"), {"migration_speed": "20"}, 20.0, "migration_bandwidth"),
        (Path(speed_mib_s=80.0, speed_from="seen"), {"migration_bandwidth": "200"}, 80.0, "seen"),
    ],
)
def test_the_path_is_as_fast_as_it_is_known_to_be_and_never_faster_than_it_may(basis, path, params, speed, said):
    found = basis(path=path, **params)
    assert (found.path_mib_s, found.path_from) == (speed, said)
