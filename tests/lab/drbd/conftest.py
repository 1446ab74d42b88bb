"""Two nodes on kernels of their own, with DRBD between them: made once for all drills, and removed at the end.

They are nodes on User Mode Linux, or virtual machines where KVMHA_TEST_KERNEL says vagrant.
"""

from __future__ import annotations

import os
import re

import pytest

from kvmha.host import Host
from kvmha.lab import image, uml
from kvmha.lab.lab import Lab, find
from kvmha.lab.plan import DISK, UML, VAGRANT, make_plan
from tests.lab.drbd.pair import GUEST, Pair
from tests.lab.head_start import HeadStart

KERNEL = os.environ.get("KVMHA_TEST_KERNEL", "uml")
SUITE = os.environ.get("KVMHA_TEST_SUITE", "bookworm")
LAB, MADE = pytest.StashKey(), pytest.StashKey()
"""The lab, and the lab if this session has made it."""

AHEAD = pytest.StashKey()
"""The process that makes the lab while other tests run."""

MANY = 1000
"""Tests before ours that make it worth while to begin with the lab at once: they take longer than it does."""


def pytest_collection_finish(session):
    """Begin to make the lab where many other tests come first."""
    here = os.path.dirname(__file__)
    first = next((number for number, item in enumerate(session.items) if str(item.path).startswith(here)), 0)
    is_ours = KERNEL == UML and os.geteuid() == 0 and "KVMHA_TEST_LAB" not in os.environ
    if first >= MANY and is_ours and not session.config.option.collectonly:
        host = Host()
        session.stash[AHEAD] = HeadStart(host, new_lab(host))


def pytest_sessionfinish(session):
    """Remove what was begun and never needed, as after ^C."""
    if AHEAD in session.stash:
        session.stash[AHEAD].give_up()


def new_lab(host):
    """Return the lab of this session, which is still to be made."""
    sbd = DISK if KERNEL == VAGRANT else ""
    return Lab(host, make_plan(f"drbd-{os.getpid()}", nodes=2, suite=SUITE, kernel=KERNEL, sbd=sbd))


def pytest_collection_modifyitems(items):
    """Mark everything in this folder, and begin with what needs the guest, which runs when the lab has come up.

    A node boots in half a minute, and a drill waits for several boots. The guest takes longer still, and all other
    drills have it stopped.
    """
    here = os.path.dirname(__file__)
    places = [index for index, item in enumerate(items) if str(item.path).startswith(here)]
    ours = [items[index] for index in places]
    for item in ours:
        item.add_marker(pytest.mark.drbd)
        # The processors of virtual machines may be emulated, ten times slower.
        item.add_marker(pytest.mark.timeout(3000 if KERNEL == UML else 7200))
        if KERNEL == VAGRANT:
            item.add_marker(pytest.mark.vagrant)
    ours.sort(key=lambda item: "guests_pair" not in item.fixturenames)
    for index, item in zip(places, ours):
        items[index] = item


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Collect the nodes' logs at once after a failure."""
    result = yield
    report = result.get_result()
    lab = item.session.stash.get(LAB, None)
    if report.failed and lab is not None:
        folder = f"{item.config.rootpath}/build/lab/{re.sub(r'[^A-Za-z0-9._-]+', '-', item.name)}"
        lab.collect_logs(folder)
        report.sections.append(("logs of all nodes", folder))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Remove the lab after the last drill: two kernels would take their part of the machine from all tests after it."""
    is_last = nextitem is None or not str(nextitem.path).startswith(os.path.dirname(__file__))
    if is_last and MADE in item.session.stash:
        item.session.stash[MADE].down()
        del item.session.stash[MADE]


@pytest.fixture(scope="session")
def uml_lab(request):
    """The lab of this session: a pair on kernels of their own, with a guest on DRBD.

    KVMHA_TEST_LAB names one that is up already, and stays so: making one takes longer than most drills.
    """
    if os.geteuid() != 0:
        pytest.skip("a lab needs root")
    host = Host()
    if name := os.environ.get("KVMHA_TEST_LAB"):
        request.session.stash[LAB] = find(host, name)
        yield request.session.stash[LAB]
        return
    if AHEAD in request.session.stash:
        request.session.stash[AHEAD].finish()
        del request.session.stash[AHEAD]
    if KERNEL == UML and (reason := uml.why_not(image.ensure(host, SUITE, lambda _phase, _text: None))):
        pytest.skip(reason)
    lab = new_lab(host)
    request.session.stash[LAB] = request.session.stash[MADE] = lab
    try:
        lab.up(lambda _phase, _text: None)
        yield lab
    finally:
        if MADE in request.session.stash:
            lab.down()
            del request.session.stash[MADE]
        del request.session.stash[LAB]


@pytest.fixture
def guests_pair(uml_lab):
    """The pair with its guest running."""
    pair = Pair(uml_lab, Host())
    if not pair.is_well():
        pair.restore()
    pair.guest("Started")
    # A start that failed on the other node, for want of time, would keep the guest from there for all of the test.
    pair.run(pair.nodes[0], "crm_resource", "--cleanup", "--resource", GUEST)
    pair.wait("the guest is known on both nodes", pair.is_quiet)
    return pair


@pytest.fixture
def pair(uml_lab):
    """The pair, well, without the guest: in most drills a writer in the node takes its place, which boots sooner."""
    pair = Pair(uml_lab, Host())
    if pair.places("web1"):
        pair.guest("Stopped")
    if not pair.is_well():
        pair.restore()
    return pair
