"""Power cuts of nodes whose disk is replicated: what was acknowledged is there afterwards, whoever comes back."""

from __future__ import annotations

import pytest

from tests.lab.drbd.pair import PRIMARY
from tests.lab.drbd.writer import Writer, checksum


@pytest.fixture
def written(pair):
    """The pair, its two nodes, and a writer on the primary that has written for a while."""
    here, there = pair.sides()
    writer = Writer(pair, here, f"cut{pair.host.now():.0f}")
    writer.write_at_least(100)
    yield pair, here, there, writer
    writer.close()


@pytest.mark.slow
def test_the_primary_loses_its_power_during_writes(written):
    pair, here, there, writer = written
    pair.lab.power(here, "off")
    writer.read(1.0)
    pair.wait("the other node is promoted", lambda: pair.replica(there).role == "Primary")
    assert checksum(pair, there, writer.safe) == writer.expected()
    pair.back(here)
    pair.wait("the pair is well again", pair.is_well)
    assert pair.primaries() == (there,)


@pytest.mark.slow
def test_the_secondary_loses_its_power_and_writes_go_on_once_it_is_fenced(written):
    pair, here, there, writer = written
    pair.lab.power(there, "off")
    writer.write_at_least(100)
    pair.back(there)
    pair.wait("the pair is well again", pair.is_well)
    writer.stop()
    # What was written meanwhile has reached the other side too.
    move(pair, here, there)
    assert checksum(pair, there, writer.safe) == writer.expected()


@pytest.mark.slow
@pytest.mark.parametrize("first", ["the primary", "the secondary"])
def test_both_lose_their_power_and_only_one_comes_back(written, first):
    pair, here, there, writer = written
    pair.lab.power(there, "off")
    pair.lab.power(here, "off")
    writer.read(1.0)
    alone, other = (here, there) if first == "the primary" else (there, here)
    pair.back(alone)
    pair.wait(f"{alone} has its replica up", lambda: pair.ask(alone, "systemctl", "is-active", "pacemaker"))
    # It may wait for the other for ever, but it must not be promoted unless all that was acknowledged is there.
    pair.host.sleep(30)
    if pair.replica(alone).role == "Primary":
        assert checksum(pair, alone, writer.safe) == writer.expected()
    pair.back(other)
    pair.wait("the pair is well again", pair.is_well)
    (primary,) = pair.primaries()
    assert checksum(pair, primary, writer.safe) == writer.expected()


def move(pair, here, there):
    """Move the primary side, as an administrator would."""
    pair.run(here, "crm_resource", "--move", "--resource", PRIMARY, "--node", there)
    try:
        pair.wait(f"{there} is primary", lambda: pair.primaries() == (there,))
    finally:
        pair.run(here, "crm_resource", "--clear", "--resource", PRIMARY)
