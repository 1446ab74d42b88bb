"""The cases of an address: what can happen to it, what is wanted then, and what an agent said and left behind.

They are acted out by tests/lab/floating_ip_cases.py, in network namespaces of a node, each time on machines of their
own; the numbers are those of the acceptance list, 0 is for the drills beside it.
"""

from __future__ import annotations

import json
import os

from kvmha.record import Record
from tests.bench.calls import OUR_ADDRESS, PYTHON, SHELL_ADDRESS
from tests.bench.case import Finding, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kvmha.lab.lab import Lab
    from tests.bench.calls import Side

LEFT = "the address is left"
TIMEOUT = 300.0


class AddressCase(Record):
    """One case by its key in tests/lab/floating_ip_cases.py."""

    key: str
    number: int
    name: str
    wanted: str
    words: tuple[str, ...]
    """What each of the values is that the case yields: an exit code's action, or something that is so or is not."""
    values: tuple[int | bool, ...]
    """Those that are wanted."""


def told(words: tuple[str, ...], values: list[Any]) -> str:
    """Return what a case yielded in words."""
    return "; ".join(
        f"{word}: {'yes' if value else 'no'}" if isinstance(value, bool) else f"{word} {value}"
        for word, value in zip(words, values)
    )


REMOVED = "stop removes it and says 0"

CASES = (
    AddressCase(
        key="route gone", number=12, name="the network's own address and route have gone", wanted=REMOVED,
        words=("stop", LEFT), values=(0, False),
    ),
    AddressCase(
        key="link gone", number=12, name="the link is deleted under the address", wanted="monitor says 7, stop 0",
        words=("monitor", "stop"), values=(7, 0),
    ),
    AddressCase(
        key="bad tuning", number=12, name="a tuning parameter is wrong: arp_count=-1", wanted=REMOVED,
        words=("stop", LEFT), values=(0, False),
    ),
    AddressCase(
        key="no parameters", number=12, name="the cluster has lost the parameters", wanted=REMOVED,
        words=("stop", LEFT), values=(0, False),
    ),
    AddressCase(
        key="two links", number=12, name="it is on a second link as well",
        wanted="the monitor fails, stop removes both", words=("monitor", "stop", LEFT), values=(1, 0, False),
    ),
    AddressCase(
        key="primary", number=12, name="other addresses of the same network are on the link",
        wanted="stop leaves them where they are", words=("the other one is still there",), values=(True,),
    ),
    AddressCase(
        key="many", number=12, name="200 addresses on one node",
        wanted="start, monitor and stop say 0, the other 199 stay",
        words=("start", "monitor", "stop", "the others are there", LEFT), values=(0, 0, 0, True, False),
    ),
    AddressCase(
        key="duplicate v4", number=13, name="a peer has the address (IPv4)",
        wanted="start says 1 and leaves nothing behind", words=("start", "monitor", LEFT), values=(1, 7, False),
    ),
    AddressCase(
        key="duplicate v6", number=13, name="a peer has the address (IPv6)",
        wanted="start says 1 and leaves nothing behind", words=("start", "monitor", LEFT), values=(1, 7, False),
    ),
    AddressCase(
        key="dadfailed", number=13, name="the kernel has found it at a peer (dadfailed)", wanted="the monitor says 1",
        words=("monitor",), values=(1,),
    ),
    AddressCase(
        key="split", number=13, name="two nodes hold it after a split that has healed",
        wanted="a monitor of depth 10 tells, the later start says 1", words=("monitor", "start"), values=(190, 1),
    ),
    AddressCase(
        key="no network", number=0, name="no route to its network yet", wanted="start says 1, which bans no node",
        words=("start",), values=(1,),
    ),
    AddressCase(
        key="start without carrier", number=0, name="the cable is cut before the start",
        wanted="start says 1, which bans no node", words=("start",), values=(1,),
    ),
    AddressCase(
        key="carrier lost", number=0, name="the cable is cut under the address, and joined again",
        wanted="the monitor says 1, and then 0", words=("monitor, cut", "monitor, joined"), values=(1, 0),
    ),
    AddressCase(
        key="flapping", number=0, name="the cable flaps within 30 s, which link_grace allows",
        wanted="the monitor says 190 (degraded), and then 0", words=("monitor, cut", "monitor, joined"),
        values=(190, 0),
    ),
    AddressCase(
        key="other link down", number=0, name="another link of the node is down", wanted="the monitor says 0",
        words=("start", "monitor"), values=(0, 0),
    ),
)  # fmt: skip


def act_out(lab: Lab, node: str, agent: str, keys: tuple[str, ...], folder: str) -> dict[str, list[Any]]:
    """Put cases to an agent (PROVIDER/TYPE) and return what each yielded; ``folder`` is the checkout's tests."""
    script = source(f"{folder}/contract/namespaces.py") + source(f"{folder}/lab/floating_ip_cases.py")
    path = f"/usr/lib/ocf/resource.d/{agent}"
    done = lab.run(node, PYTHON, "-", path, *keys, given=script, timeout=TIMEOUT)
    found: dict[str, list[Any]] = json.loads(done.out.splitlines()[-1])
    return found


def try_all(lab: Lab, node: str, wanted: list[AddressCase], say: Callable[[str], None]) -> list[Outcome]:
    """Put cases to both agents and return what came of each."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    outcomes = []
    for case in wanted:
        say(f"address: {case.name}")
        found = {}
        for side in (SHELL_ADDRESS, OUR_ADDRESS):
            values = act_out(lab, node, f"{side.provider}/{side.kind}", (case.key,), folder)[case.key]
            found[side] = Finding(did=told(case.words, values), is_right=tuple(values) == case.values)
            say(f"    {side.kind:<10} {'right' if found[side].is_right else 'WRONG'}: {found[side].did}")
        outcomes.append(_outcome(case, found))
    return outcomes


def _outcome(case: AddressCase, found: dict[Side, Finding]) -> Outcome:
    return Outcome(
        number=case.number, name=case.name, wanted=case.wanted, shell=found[SHELL_ADDRESS], ours=found[OUR_ADDRESS]
    )


def source(path: str) -> str:
    """Return a file's text as a part of a script that comes on standard input."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    # There it is neither at the beginning nor in a file.
    text = text.replace("from __future__ import annotations", "")
    return text.replace("Path(__file__).resolve().parents[2]", 'Path(".")') + "\n"
