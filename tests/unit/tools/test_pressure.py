"""What /proc/pressure says, and when a host counts as short of something."""

from __future__ import annotations

import pytest

from kvmha.tools import pressure
from tests.fakes import FakeHost

# As Linux 6.18 prints it.
CALM = """\
some avg10=0.19 avg60=1.60 avg300=1.35 total=154265098
full avg10=0.10 avg60=0.87 avg300=0.78 total=95464266
"""


def show(host, resource="memory", some="0.00", full="0.00"):
    text = CALM.replace("avg10=0.19", f"avg10={some}").replace("avg10=0.10", f"avg10={full}")
    host.files[f"/proc/pressure/{resource}"] = text.encode()


def test_both_lines_are_read():
    assert [(one.kind, one.percent) for one in pressure.parse("io", CALM)] == [("some", 0.19), ("full", 0.1)]


@pytest.mark.parametrize("text", ["", "some", "some avg10=", "some avg10=x", "avg10=99.00", "\0", "full avg60=99.00"])
def test_what_is_of_another_form_is_left_out(text):
    assert [one for one in pressure.parse("io", text) if one.kind in pressure.LIMITS] == []


@pytest.mark.parametrize(
    ("some", "full", "is_short"),
    [("0.00", "0.00", False), ("39.99", "9.99", False), ("40.00", "0.00", True), ("12.00", "10.00", True)],
)
@pytest.mark.parametrize("resource", ["memory", "io"])
def test_a_host_is_short_from_the_limits_on(resource, some, full, is_short):
    host = FakeHost()
    show(host, resource, some, full)
    assert (pressure.of_host(host) is not None) is is_short


def test_the_worst_is_told_with_its_number():
    host = FakeHost()
    show(host, "memory", "50.00", "12.00")
    show(host, "io", "91.27", "63.40")
    assert str(pressure.of_host(host)) == "everything here waited for io in 63 % of the last 10 s"


@pytest.mark.parametrize("error", [None, OSError(95, "Operation not supported")])
def test_a_kernel_that_does_not_measure_knows_of_no_pressure(error):
    host = FakeHost()
    if error:
        host.files["/proc/pressure/memory"] = error
    assert pressure.of_host(host) is None
