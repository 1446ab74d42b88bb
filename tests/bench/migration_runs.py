"""One planned move of a guest that writes to its memory, by one of three ways, as a client outside sees it."""

from __future__ import annotations

import json
import threading

from kvmha.host import CommandError
from kvmha.lab.guest import CONFIG_FOLDER, parse_answer
from kvmha.lab.guest_service import PORT
from kvmha.lab.observation import Observation
from kvmha.lab.plan import LabError
from kvmha.lab.watcher import longest_gap
from kvmha.record import Record
from kvmha.tools import crm_mon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host
    from kvmha.lab.lab import Lab

PATH_MIB_S = 24
"""What every move may use: the guest cannot write much faster than twice that, where its processor is emulated."""

HOT_MIB = 100
"""How much of its memory a guest writes, again and again."""

TIMEOUT_S = 50
"""Of migrate_to, for all ways."""

RATES = {"idle": 0.0, "half": 0.5, "equal": 1.0, "twice": 2.0}
"""What a guest writes, as a share of what the path carries."""

COMPLETED, STAYED, RESTARTED = "completed", "aborted, alive", "restarted"

SETTLE_LIMIT = 180.0
ANSWER_LIMIT = 120.0
SAMPLE_INTERVAL = 0.5

SAY = (
    "import socket, sys; client = socket.create_connection((sys.argv[1], int(sys.argv[2])), 9); client.settimeout(45); "
    "line = client.makefile().readline; line(); client.sendall(sys.argv[3].encode()); print(line(), end='')"
)


class Way(Record):
    """How a guest is moved, and which guest that is."""

    key: str
    name: str
    guest: str
    agent: str = "ocf:kvmha:VirtualDomain"
    params: tuple[str, ...] = ()


SHELL = Way(key="shell", name="ocf:heartbeat, pcs resource move", guest="web2", agent="ocf:heartbeat:VirtualDomain",
            params=(f"migration_speed={PATH_MIB_S}",))  # fmt: skip
OURS = Way(key="ours", name="ours, kvmha migrate", guest="web3", params=(f"migration_bandwidth={PATH_MIB_S}",))
HYBRID = Way(key="hybrid", name="ours, post-copy allowed", guest="web1",
             params=(f"migration_bandwidth={PATH_MIB_S}", "migration_mode=hybrid"))  # fmt: skip
WAYS = (SHELL, OURS, HYBRID)


class Run(Record):
    """One move."""

    way: str
    rate: str
    outcome: str
    seconds: float
    gap_s: float | None
    """The longest that a client was without an answer."""
    ran_twice: bool
    forecast_s: float | None = None
    took_s: float | None = None
    """What migrate_to itself took, which is what the forecast is about."""
    curve: tuple[tuple[float, float], ...] = ()
    """Seconds and MiB that remained."""


class Mover:
    """Whoever prepares the lab's guests for the three ways, and moves them."""

    def __init__(self, host: Host, lab: Lab) -> None:
        self._host = host
        self._lab = lab
        self._first = lab.plan.nodes[0].name

    def prepare(self) -> None:
        """Give each way a guest of its own, alike but for the agent. Raises CommandError."""
        self._run("pcs", "resource", "delete", "vip", timeout=90)
        for way in WAYS:
            self._run("pcs", "resource", "delete", way.guest, timeout=120)
            self._run(
                "pcs", "resource", "create", way.guest, way.agent, f"config={CONFIG_FOLDER}/{way.guest}.xml",
                "migration_transport=tcp", *way.params, "op", "migrate_to", f"timeout={TIMEOUT_S}s",
                "op", "migrate_from", "timeout=60s", "op", "start", "timeout=90s", "op", "stop", "timeout=90s",
                "op", "monitor", "interval=10s", "timeout=30s", "meta", "allow-migrate=true", "--force", timeout=120,
            )  # fmt: skip
        self._settle()

    def move(self, way: Way, rate: str) -> Run:
        """Have a guest write, move it, and see what became of it. Raises LabError."""
        with Observation(self._host, self._lab) as seen:
            self._wait_answers(seen, way.guest)
            self._say(way.guest, f"dirty {round(RATES[rate] * PATH_MIB_S)} {HOT_MIB}" if RATES[rate] else "dirty 0")
            seen.read(3.0)
            boot, source = seen.answers[way.guest][-1].boot, self._place(way.guest)
            target = next(node.name for node in self._lab.plan.nodes if node.name != source)
            curve: list[tuple[float, float]] = []
            since = self._host.wall_clock()
            found = self._moved(way, source, target, seen, curve)
            self._wait_answers(seen, way.guest)
            until = self._host.wall_clock()
            seen.read(1.0)
            gap = longest_gap(seen.answers[way.guest], since, until)
            is_same = seen.answers[way.guest][-1].boot == boot
            outcome = RESTARTED if not is_same else COMPLETED if self._place(way.guest) == target else STAYED
            self._say(way.guest, "dirty 0")
            return Run(
                way=way.key,
                rate=rate,
                outcome=outcome,
                seconds=round(found.get("seconds", until - since), 2),
                gap_s=round(gap.seconds, 3) if gap else None,
                ran_twice=bool(seen.census.twice),
                forecast_s=(found.get("forecast") or {}).get("seconds"),
                took_s=self._took(way, source),
                curve=tuple(curve),
            )

    def _moved(
        self, way: Way, source: str, target: str, seen: Observation, curve: list[tuple[float, float]]
    ) -> dict[str, object]:
        """Order the move and look on until it is over; what kvmha printed, or how long it took."""
        found: dict[str, object] = {}
        thread = threading.Thread(target=self._order, args=(way, source, target, found))
        begun = self._host.now()
        thread.start()
        while thread.is_alive():
            seen.read(SAMPLE_INTERVAL)
            remaining = self._remaining(source, way.guest)
            if remaining is not None:
                curve.append((round(self._host.now() - begun, 2), remaining))
        if "error" in found:
            raise LabError(f"the move of {way.guest} could not be ordered: {found['error']}")
        return found

    def _order(self, way: Way, source: str, target: str, found: dict[str, object]) -> None:
        begun = self._host.now()
        try:
            if way is SHELL:
                self._run("crm_resource", "--move", "--resource", way.guest, "--node", target, at=source)
                self._settle()
                found["seconds"] = self._host.now() - begun
                self._run("crm_resource", "--clear", "--resource", way.guest)
                self._run("crm_resource", "--cleanup", "--resource", way.guest, ok=None)
                self._settle()
            else:
                done = self._lab.run(source, "kvmha", "migrate", way.guest, target, "--json", timeout=300, ok=(0, 1))
                found.update(json.loads(done.out))
        except (CommandError, ValueError) as error:
            found["error"] = str(error)

    def _remaining(self, node: str, guest: str) -> float | None:
        """Return the MiB that the guest's job has left, None where it has none."""
        done = self._lab.run(node, "virsh", "--quiet", "domjobinfo", guest, timeout=20, ok=None)
        for line in done.out.splitlines():
            name, _, value = line.partition(":")
            words = value.split()
            if name == "Memory remaining" and len(words) == 2:
                scale = {"B": 1 / 1048576, "KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}[words[1]]
                return round(float(words[0]) * scale, 1)
        return None

    def _took(self, way: Way, source: str) -> float | None:
        if way is SHELL:
            return None
        done = self._lab.run(source, "cat", f"/var/lib/kvmha/migrations/{way.guest}.json", timeout=20, ok=None)
        return float(json.loads(done.out)[-1]["seconds"]) if done.rc == 0 else None

    def _place(self, guest: str) -> str:
        status = crm_mon.parse(self._run(*crm_mon.ARGV))
        resource = status.resource(guest) if status else None
        if resource is None or len(resource.nodes) != 1:
            raise LabError(f"{guest} does not run on exactly one node")
        return resource.nodes[0]

    def _wait_answers(self, seen: Observation, guest: str) -> None:
        until = self._host.now() + ANSWER_LIMIT
        while not seen.answers_now(guest):
            if self._host.now() > until:
                raise LabError(f"{guest} does not answer within {ANSWER_LIMIT:.0f} s")
            seen.read(0.5)

    def _say(self, guest: str, text: str) -> None:
        plan = self._lab.plan
        argv = ("nsenter", f"--net=/run/netns/{plan.netns}", "/usr/bin/python3", "-IS", "-c", SAY)
        done = self._host.run(*argv, plan.guest(guest).address, str(PORT), f"{text}\n", timeout=60, ok=None)
        if parse_answer(done.out) is None:
            raise LabError(f"{guest} does not obey: {done.out or done.err}")

    def _settle(self) -> None:
        self._run("crm_resource", "--wait", "--timeout", f"{SETTLE_LIMIT:.0f}s", timeout=SETTLE_LIMIT + 30)

    def _run(self, *argv: str, at: str = "", timeout: float = 60, ok: tuple[int, ...] | None = (0,)) -> str:
        return self._lab.run(at or self._first, *argv, timeout=timeout, ok=ok).out
