"""The story of a guest whose disk two hosts replicate: it moves without its customers noticing, and survives its host.

Everything in it is real: two Linux kernels with DRBD between them, corosync and Pacemaker, a management controller that
cuts the power, the agents and templates of this package, and a guest that writes what a customer sends it, and tells
him once it is safe.
"""

from __future__ import annotations

from kvmha.lab.guest import parse_answer
from tests.lab.drbd.pair import GUEST, PRIMARY, allows_two
from tests.lab.drbd.writer import Customer, say


def test_a_guest_on_drbd_moves_live_and_survives_a_power_cut(guests_pair):
    pair = guests_pair

    # A guest runs on one of two hosts. Both have its disk; only that host may write to it.
    (home,) = pair.places(GUEST)
    other = next(node for node in pair.nodes if node != home)
    assert pair.primaries() == (home,)
    boot = pair.wait("the guest answers", lambda: boot_of(pair))

    # A customer has it write something, again and again, and is told what is safe.
    customer = Customer(pair, f"order{pair.host.now():.0f}")
    try:
        customer.write_at_least(20)

        # The host is to be serviced: the guest moves to the other one, and goes on without having been restarted.
        move(pair, home, other)
        customer.write_at_least(20)
        assert boot_of(pair) == boot, "the guest was restarted, not moved"

        # Both hosts could write to the disk while it moved. That window is closed again.
        pair.wait("the other host alone may write", lambda: pair.primaries() == (other,))
        pair.wait("one primary is the rule again", lambda: not any(allows_two(pair, node) for node in pair.nodes))
        assert checksum(pair, customer) == customer.expected()

        # Then the host on which it runs now loses its power, in the middle of a write.
        customer.write_at_least(20)
        pair.lab.power(other, "off")
        customer.read(1.0)
        promised, expected = customer.safe, customer.expected()

        # The cluster makes sure that the host is really dead, promotes the disk at home, and starts the guest there.
        pair.wait("the guest runs at home again", lambda: pair.places(GUEST) == (home,))
        assert pair.places(PRIMARY) == (home,)
        pair.wait("the guest answers", lambda: boot_of(pair))
        assert boot_of(pair) != boot, "a guest whose host died cannot have gone on"

        # Every write that the customer was promised is there. He sends more.
        customer.write_at_least(20)
        assert say(pair, "sum", "0", str(promised - 1)).split()[-1] == expected

        # The dead host comes back, fetches what it missed, and the pair is whole again.
        pair.back(other)
        pair.wait("the pair is well again", pair.is_well)
        assert pair.primaries() == (home,)
    finally:
        customer.stop()


def move(pair, source, target):
    """Move the guest as an administrator does, and take the constraint away again."""
    pair.run(source, "crm_resource", "--move", "--resource", GUEST, "--node", target)
    try:
        pair.wait(f"the guest is on {target}", lambda: pair.places(GUEST) == (target,))
    finally:
        pair.run(source, "crm_resource", "--clear", "--resource", GUEST)


def boot_of(pair):
    """Return the boot id that the guest tells a customer, or nothing while it does not answer."""
    answer = parse_answer(say(pair) + "\n")
    return answer.boot if answer else ""


def checksum(pair, customer):
    """Return the checksum of what the guest finds on its disk of all that the customer was told is safe."""
    return say(pair, "sum", "0", str(customer.safe - 1)).split()[-1]
