"""A drill's report in a real browser, on a telephone and on a desk; the pictures are kept under build/."""

from __future__ import annotations

import pytest

from kvmha.drill import page, timeline
from kvmha.drill.records import BROKEN, Moment, Recovery, Written
from tests import browser
from tests.unit.drill.test_reports import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.why_not() is not None, reason=str(browser.why_not())),
]

LONG = "a-guest-whose-name-is-longer-than-most-of-them"


def long_one():
    """A drill in which everything that can be told is told, of guests with long names."""
    moments = tuple(
        Moment(at=place * 1.7, phase=phase, subject=subject, node="hypervisor-number-one")
        for place, (phase, subject) in enumerate((phase, name) for phase in timeline.ORDER for name in ("web1", LONG))
    )
    recoveries = tuple(Recovery(name=name, node="n1", answers=44.0, gap_s=44.2, expected_s=9.0, limit_s=30.0)
                       for name in ("web1", LONG))  # fmt: skip
    written = (Written(name=LONG, acknowledged=1234, lost=(3,)),)
    return run(5).replace(result=BROKEN, said="it is late, " * 20, moments=moments, recoveries=recoveries,
                          written=written, log=tuple(f"{n:7.2f} s  {'word ' * 40}" for n in range(40)))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "made"),
    [
        pytest.param("plain", run(9, fencing=13.0, took=21.0), id="plain"),
        pytest.param("long", long_one(), id="all-that-can-be-told"),
        pytest.param("nothing", run(9).replace(moments=(), recoveries=(), breaches=()), id="nothing-happened"),
    ],
)
def test_a_report_fits_a_telephone_and_a_desk(tmp_path, request, name, made):
    folder = request.config.rootpath / "build" / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    journals = f"    1.50 s  hypervisor-number-one pacemaker-controld: {'word ' * 50}{'x' * 90}\n" * 30
    html = page.html(made, [run(number, took=10.0 + number) for number in range(1, 9)], journals)
    browser.look(tmp_path, html, folder, f"drill-{name}")
