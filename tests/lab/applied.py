"""Two nodes that begin with nothing, on which kvmha cluster apply is run, killed, held up and run again."""

from __future__ import annotations

import contextlib
import json
import os

import pytest

from kvmha.host import Host
from kvmha.lab import formation
from kvmha.lab.lab import Lab
from kvmha.lab.plan import HACLUSTER_PASSWORD, make_plan
from kvmha.tools import cib
from tests.lab.conftest import LAB, Cluster

YAML = "/root/cluster.yaml"

# Runs a verb, and ends itself after so many commands that change something, as an unlucky SIGKILL would. Words of
# commands that are not counted come second.
MORTAL = """\
import os, sys
from kvmha.cli.main import main
from kvmha.host import Host

class Mortal(Host):
    left = int(sys.argv[1])

    def run(self, *argv, **words):
        done = super().run(*argv, **words)
        if ("--patch" in argv or argv[0] in ("pcs", "ssh")) and not {*sys.argv[2].split(",")} & {*argv}:
            self.left -= 1
            if not self.left:
                os._exit(137)
        return done

sys.exit(main(sys.argv[3:], Mortal()))
"""

# Runs a verb, and waits before the first command that changes the configuration until it is let go.
HELD = """\
import sys, time
from kvmha.cli.main import main
from kvmha.host import Host

class Held(Host):
    def run(self, *argv, **words):
        if "--patch" in argv and not self.exists("/run/held"):
            self.write("/run/held", "")
            while not self.exists("/run/let-go"):
                time.sleep(0.1)
        return super().run(*argv, **words)

sys.exit(main(sys.argv[1:], Held()))
"""


class Applied(Cluster):
    """Two nodes, and a description that a test may change."""

    def __init__(self, lab, host):
        super().__init__(lab, host)
        self.text = self.first = formation.describe(lab.plan)

    def describe(self, old="", new=""):
        assert old in self.text
        self.text = self.text.replace(old, new, 1)
        self.lab.copy_in("n1", YAML, self.text)
        return self

    def kvmha(self, *words, ok=(0,), after=0, uncounted="", program=(), node="n1"):
        argv = ("python3", "-c", MORTAL, str(after), uncounted) if after else program or ("kvmha",)
        env = ("env", f"HACLUSTER_PASSWORD={HACLUSTER_PASSWORD}")
        return self.run(node, *env, *argv, "cluster", *words[:1], YAML, *words[1:], ok=ok, timeout=500)

    def query(self):
        return self.run("n1", "cibadmin", "--query").out

    def seen(self):
        return cib.read(self.query())

    def to_do(self, *words):
        return [each["id"] for each in json.loads(self.kvmha("diff", "--json", *words, ok=(0, 1)).out)["to_do"]]

    def by_hand(self):
        return [each["id"] for each in json.loads(self.kvmha("diff", "--json", ok=(0, 1)).out)["by_hand"]]

    def pids(self):
        return {(guest, node): self.qemu_pids(node, guest) for guest in self.guests for node in self.nodes}

    def refuses(self, *words, said):
        before = self.written()
        done = self.kvmha("apply", *words, ok=(1, 2))
        assert said in done.err
        assert self.written() == before

    def written(self):
        """Return the configuration without the counters of its versions."""
        return self.query().partition("<configuration>")[2].partition("</configuration>")[0]


@contextlib.contextmanager
def bare_nodes(request, name):
    """Bring up two nodes that have kvmha and no cluster, and remove them."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root")
    host = Host()
    suite = os.environ.get("KVMHA_TEST_SUITE", "bookworm")
    lab = Lab(host, make_plan(f"{name}-{os.getpid()}", nodes=2, suite=suite))
    # In the place of the session's lab, so that a test that fails leaves the logs of these nodes.
    before = request.session.stash.get(LAB, None)
    request.session.stash[LAB] = lab
    try:
        lab.up(lambda _phase, _text: None, package=newest(request.config.rootpath), bare=True)
        yield Applied(lab, host)
    finally:
        lab.down()
        if before is None:
            del request.session.stash[LAB]
        else:
            request.session.stash[LAB] = before


def newest(root):
    return str(max((root / "dist").glob("*.deb"), key=lambda path: path.stat().st_mtime))


def assert_never_unfenced(bare):
    """Assert that guests run only where every fence device does."""
    status = bare.status("n1") if bare.run("n1", "pgrep", "pacemaker", ok=(0, 1)).rc == 0 else None
    if status is not None and any(bare.pids().values()):
        devices = [each for each in status.resources if each.name.startswith("fence-")]
        assert len(devices) == len(bare.nodes)
        assert all(each.nodes for each in devices)
