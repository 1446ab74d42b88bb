"""Number 10 of the acceptance list: whom DRBD itself would not promote, the agent gives no score.

What the kernel said was recorded with real DRBD 8.4 and 9. ``./dev bench agents --only 10`` plays the same bytes to
ocf:linbit:drbd beside ours.
"""

from __future__ import annotations

import pytest

from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.resources.drbd import DRBD, knowledge
from kvmha.tools import drbd
from kvmha.tools.crm_attribute import Attribute
from tests.drbd_recordings import recorded
from tests.fakes import FakeHost

SCORE = Attribute.promotion("drbd-r0")
OLD = "1000"
"""A score from before, which must not stay."""

DUMP = """<config><resource name="r0">
<host name="n1"><volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/ubda</disk></volume></host>
<host name="n2"><volume vnr="0"><device minor="0">/dev/drbd0</device><disk>/dev/ubda</disk></volume></host>
</resource></config>"""


class Node(FakeHost):
    """A node whose kernel says what was recorded, and a cluster that keeps the score."""

    def __init__(self, events: str) -> None:
        super().__init__()
        self.score = OLD
        self.files["/proc/drbd"] = b"version: 9.2.16\n"
        # The recordings were made at n1, where nothing else is told, and at n2 and n3.
        peers = [name for name in ("n1", "n2") if f"conn-name:{name} " in events]
        self.files["/proc/sys/kernel/hostname"] = b"n1\n" if peers == ["n2"] else b"n2\n"
        self.files["/proc/sys/kernel/random/boot_id"] = b"boot\n"
        self.commands[drbd.events_argv("r0")] = events
        self.commands[drbd.show_argv("r0")] = ""
        self.commands[("drbdadm", "dump-xml", "r0")] = DUMP

    def run(self, *argv, **options):
        if argv[0] == "crm_attribute" and "--delete" in argv:
            self.score = ""
            self.commands[argv] = ""
        elif argv[0] == "crm_attribute" and "--update" in argv:
            self.score = argv[argv.index("--update") + 1]
            self.commands[argv] = ""
        elif argv[0] == "crm_attribute":
            self.commands[argv] = self.score or (105, "", "No such object")
        return super().run(*argv, **options)


def monitor(events: str) -> tuple[int, str]:
    """Run the monitor on what DRBD says; return its exit code and the score that the cluster has afterwards."""
    host = Node(events)
    knowledge.write(host, "r0", knowledge.parse("node x Secondary 1.0 0\npeer n1 equal Primary 1.0 0\n"))
    env = OcfEnv(action="monitor", instance="drbd-r0", params={"drbd_resource": "r0"}, interval=10.0, timeout=20.0)
    return perform(DRBD, env, host), host.score


NEGOTIATING_9 = """\
exists resource name:r0 role:Secondary suspended:no force-io-failures:no may_promote:no promotion_score:0
exists connection name:r0 peer-node-id:0 conn-name:n1 connection:Connecting role:Unknown
exists device name:r0 volume:0 minor:0 backing_dev:/dev/ubda disk:Negotiating client:no quorum:yes
exists peer-device name:r0 peer-node-id:0 conn-name:n1 volume:0 replication:Off peer-disk:DUnknown peer-client:no
exists -
"""
"""In the words of 9, from its stream of events: it answers no question while this lasts."""


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        pytest.param(recorded("8.4.11", "negotiating-secondary"), "is Negotiating", id="8.4-negotiating"),
        pytest.param(NEGOTIATING_9, "is Negotiating", id="9-negotiating"),
        pytest.param(NEGOTIATING_9.replace("Negotiating", "Attaching"), "is Attaching", id="9-attaching"),
        pytest.param(recorded("9.2.16", "diskless-client-without-quorum"), "has no quorum", id="9-client-no-quorum"),
    ],
)
def test_number_10_a_replica_that_is_negotiating_or_diskless_without_quorum_has_no_score(events, reason, capfd):
    code, score = monitor(events)
    assert (code, score) == (190, "")
    assert reason in capfd.readouterr().err


@pytest.mark.parametrize(
    ("version", "case", "most"),
    [
        pytest.param("9.2.16", "connected-secondaries", 10000, id="well"),
        pytest.param("9.2.16", "diskless-secondaries", 1, id="disk-lost"),
        pytest.param("9.2.16", "three-nodes-diskless-client", 2, id="quorate-client"),
    ],
)
def test_number_10_the_score_is_what_drbd_says_at_most(version, case, most):
    _code, score = monitor(recorded(version, case))
    assert score == str(most)
