"""The network of the unit tests: a kernel's tables, ip(8) that changes them, and neighbours that may answer."""

from __future__ import annotations

import pytest

from kvmha.host import CommandFailed, Completed
from kvmha.ocf.agent import perform
from kvmha.ocf.env import OcfEnv
from kvmha.policy.network import DAD_FAILED, TENTATIVE, Address, Link
from kvmha.resources.floating_ip import FloatingIP, announcing
from kvmha.tools import rtnetlink
from kvmha.tools.neighbour import Heard

VIP, VIP6 = "10.77.0.100", "2001:db8::100"
MAC = bytes.fromhex("0200000000aa")


class FakeNetwork:
    """One node's links and addresses."""

    def __init__(self, host, monkeypatch):
        self.host = host
        self.all: list[Link] = [
            Link(index=1, name="lo"),
            Link(index=4, name="br0", mac=MAC),
            Link(index=5, name="br1", mac=MAC[:5] + b"\xbb"),
        ]
        self.here: list[Address] = []
        self.changes: list[str] = []
        self.new_flags = 0
        """Flags of an address that is added."""
        self.trouble: OSError | None = None
        self.refused: tuple[int, str] | None = None
        """What ip answers to an addition."""
        self.delete_works = True
        self.owners: dict[str, str] = {}
        """Who else has an address, by address; who "hears" them is every port."""
        self.said: list[tuple[str, str, str]] = []
        self.deaf: OSError | None = None
        self.put("127.0.0.1", "lo", 8)
        self.put("10.77.0.11")
        self.put("2001:db8::11", prefix=64)
        for name in ("addresses", "link", "link_named", "links", "below", "name_of", "keep_secondaries", "places"):
            monkeypatch.setattr(rtnetlink, name, getattr(self, name))
        monkeypatch.setattr(announcing, "port_of", lambda agent, link, ip: FakePort(self, link))
        monkeypatch.setattr(host, "run", self.run)

    # ------------------------------------------------------------ the world below

    def put(self, address, link="br0", prefix=24, **more):
        index = next(one.index for one in self.all if one.name == link)
        self.here.append(Address(index=index, address=address, prefix=prefix, **more))

    def change(self, name, /, **fields):
        """Change a link."""
        self.all = [one.replace(**fields) if one.name == name else one for one in self.all]

    def flag(self, address, flags):
        self.here = [one.replace(flags=flags) if one.address == address else one for one in self.here]

    def of(self, address):
        """Return where an address is, as "br0/24"."""
        return [f"{self.name_of(one.index)}/{one.prefix}" for one in self.here if one.address == address]

    # ----------------------------------------------------------------- rtnetlink

    def addresses(self):
        if self.trouble:
            raise self.trouble
        return tuple(self.here)

    def places(self, address):
        wanted = rtnetlink.packed(address)
        return tuple(one for one in self.addresses() if wanted and rtnetlink.packed(one.address) == wanted)

    def links(self):
        return tuple(self.all)

    def link(self, index):
        return next((one for one in self.all if one.index == index), None)

    def link_named(self, name):
        return next((one for one in self.all if name in (one.name, *one.altnames)), None)

    def below(self, top):
        return tuple(one for one in self.all if one.master == top.index or one.index == top.below)

    def name_of(self, index):
        found = self.link(index)
        return found.name if found else f"link {index}"

    def keep_secondaries(self, index):
        self.changes.append(f"keep secondaries on {self.name_of(index)}")

    # ------------------------------------------------------------------- commands

    def run(self, *argv, timeout, ok=(0,), given="", env=None):
        assert timeout > 0
        if argv[0] != "ip":
            return type(self.host).run(self.host, *argv, timeout=timeout, ok=ok)
        self.changes.append(" ".join(argv))
        rc, err = self._change(argv[1:])
        done = Completed(argv=argv, rc=rc, out="", err=err)
        if ok is not None and rc not in ok:
            raise CommandFailed(done)
        return done

    def _change(self, words):
        if words[:2] == ("addr", "add"):
            if self.refused:
                return self.refused
            address, _, prefix = words[2].partition("/")
            label = words[words.index("label") + 1] if "label" in words else ""
            flags = 0 if "nodad" in words else self.new_flags
            self.put(address, words[-1], int(prefix), label=label, flags=flags)
        elif words[:2] == ("addr", "del"):
            address, _, prefix = words[-3].partition("/")
            found = [one for one in self.here if (one.address, str(one.prefix)) == (address, prefix)]
            found = [one for one in found if self.name_of(one.index) == words[-1]]
            if not found:
                return 2, "RTNETLINK answers: Cannot assign requested address\n"
            if self.delete_works:
                self.here.remove(found[0])
        elif words[:2] == ("link", "set"):
            self.change(words[2], is_up=True)
        return 0, ""


class FakePort:
    """A raw socket on the fake network."""

    def __init__(self, network, link):
        if network.deaf:
            raise network.deaf
        self.network, self.link = network, link
        self.asked = set()

    def announce(self, address):
        self.network.said.append(("announce", self.link.name, address))

    def probe(self, address):
        self.network.said.append(("probe", self.link.name, address))
        self.asked.add(address)

    def ask(self, address, source):
        self.network.said.append(("ask", self.link.name, address))
        self.asked.add(address)

    def hear(self, address, seconds):
        owner = self.network.owners.get(address)
        if owner and address in self.asked and seconds > 0:
            self.asked.discard(address)
            self.network.host.sleep(0.001)
            return owner if isinstance(owner, Heard) else Heard(who=owner)
        self.network.host.sleep(max(seconds, 0.0))
        return None

    def close(self):
        pass


@pytest.fixture
def network(host, monkeypatch):
    return FakeNetwork(host, monkeypatch)


@pytest.fixture
def call(host, network):
    """Call the agent; parameters are those of one resource unless others are given."""

    def called(action, *, interval=None, depth=0, timeout=20.0, instance="vip", **params):
        params = {"ip": VIP, **params}
        given = {name: value for name, value in params.items() if value is not None}
        if interval is None:
            interval = 10.0 if action == "monitor" else 0.0
        env = OcfEnv(
            action=action, instance=instance, params=given, interval=interval, check_level=depth, timeout=timeout
        )
        return perform(FloatingIP, env, host)

    return called


@pytest.fixture
def reason(capfd):
    def read():
        return capfd.readouterr().err.rstrip("\n").rpartition("\n")[2].partition("ocf-exit-reason:")[2]

    return read


__all__ = ["DAD_FAILED", "MAC", "TENTATIVE", "VIP", "VIP6"]
