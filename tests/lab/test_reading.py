"""Whatever Pacemaker can be given or print is read: the clusters of its own regression tests, of both releases.

They have what no example of ours has: remote and guest nodes, bundles, clones of groups, tickets, resources that are
unmanaged, orphaned or active twice, nodes that are unclean or of an unknown state. The sources come from Debian and
stay outside of this package.
"""

from __future__ import annotations

import re
import tarfile
from collections import Counter

import pytest

from kvmha.cli.main import main
from kvmha.cluster.facts import of_files
from kvmha.errors import UserError
from kvmha.gather import cluster as gather
from kvmha.host import CommandError, Host
from kvmha.lab.plan import cache_folder
from kvmha.policy import placement
from kvmha.tools import cib, crm_mon, crm_simulate
from tests import pacemaker

HOST = Host()

POOL = "https://deb.debian.org/debian/pool/main/p/pacemaker"
HELPER = "/usr/lib/apt/apt-helper"

SOURCES = {
    "bookworm": ("2.1.5", "7654b78f08d4994b9fd31b8592addbd7f4b173e2cbf30336722419f1ce45e185"),
    "trixie": ("3.0.0", "e6057485bb18b3a76fd351d580afe63721b775b3ef6950fe33ce036cf131f137"),
}
"""By suite, the release of Pacemaker and the sha256 of its sources."""

PRINTED = re.compile(r'<pacemaker-result [^>]*request="crm_mon[ "].*?</pacemaker-result>', re.DOTALL)

AT_LEAST = {"bookworm": (790, 25), "trixie": (850, 28)}
"""How many CIBs there are, and how many outputs of crm_mon that show nodes."""


@pytest.fixture(scope="session")
def examples():
    """Return a function that gives the CIBs of a release by name, and what its crm_mon printed."""

    def of(suite):
        version, checksum = SOURCES[suite]
        path = f"{cache_folder()}/pacemaker-{version}.tar.gz"
        url = f"{POOL}/pacemaker_{version}.orig.tar.gz"
        if HOST.which(HELPER) is None:
            pytest.skip("not installed: apt-helper, which fetches Pacemaker's sources from Debian")
        try:
            # What is there and has this checksum is not fetched again.
            HOST.run(HELPER, "-o", "APT::Sandbox::User=root", "download-file", url, path, f"SHA256:{checksum}",
                     timeout=300)  # fmt: skip
        except CommandError as error:
            pytest.skip(f"not reachable: {url} ({error})")
        cibs, printed = {}, []
        with tarfile.open(path) as archive:
            for member in archive:
                if "/cts/scheduler/xml/" in member.name and member.name.endswith(".xml"):
                    cibs[member.name.rpartition("/")[2]] = text_of(archive, member)
                elif "/cts/cli/regression." in member.name:
                    printed += PRINTED.findall(text_of(archive, member))
        return cibs, printed

    return of


def text_of(archive, member):
    return archive.extractfile(member).read().decode("utf-8", "replace")


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_every_cluster_of_pacemakers_own_tests_is_read(examples, suite):
    cibs, printed = examples(suite)
    for name, text in cibs.items():
        root = cib.tree(text, name)
        found = gather.assemble(of_files(cib=text, cib_source=name), root, None, source=name, at=None)
        assert {node.get("uname") or node.get("id") for node in root.iterfind("configuration/nodes/node")} <= {
            node.name for node in found.nodes
        }
        placement.n_plus_one(found)
    shown = [status for status in map(crm_mon.parse, printed) if status is not None]
    assert (len(cibs) >= AT_LEAST[suite][0], len(shown) >= AT_LEAST[suite][1]) == (True, True)
    # What was asked to leave out the nodes shows no status.
    assert all("exclude=nodes" in text for text in printed if crm_mon.parse(text) is None)
    assert {kind for status in shown for kind in (node.kind for node in status.nodes)} >= {"member", "remote"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_every_cluster_of_pacemakers_own_tests_can_be_asked_about(examples, suite, tmp_path, build, capsys):
    host = pacemaker.ImageHost(pacemaker.scheduler(suite, tmp_path))
    counted: Counter[tuple[str, int]] = Counter()
    refused = {}
    for name, text in examples(suite)[0].items():
        path = tmp_path / name
        path.write_text(text)
        for words in (["status"], ["survivor"], *events(host, text, tmp_path)):
            code = main([*words, "--cib", str(path)], host)
            said = capsys.readouterr()
            counted[words[0], code] += 1
            if code == 2:
                assert said.err.count("\n") == 1, (name, words, said.err)
                refused[f"{name} {' '.join(words)}"] = said.err
            else:
                assert said.err == "", (name, words)
                assert said.out
    lines = [f"{many:5} {verb} exit code {code}" for (verb, code), many in sorted(counted.items())]
    (build / f"reading-{suite}.txt").write_text("\n".join([*lines, *(f"{k}: {v}" for k, v in refused.items())]))
    assert sum(many for (_, code), many in counted.items() if code == 2) <= sum(counted.values()) * REFUSED_AT_MOST
    assert {code for _, code in counted} <= {0, 1, 2}


REFUSED_AT_MOST = 0.05
"""The part of all questions that Pacemaker's scheduler itself may refuse: a few of its tests are about such CIBs."""


def events(host, text, folder):
    """Return a what-if about the loss of the first node that is online."""
    try:
        shown = crm_mon.parse_part(
            crm_simulate.state(host, text, folder=str(folder)), "cluster_status", is_quorate=True
        )
    except UserError:
        return []
    nodes = [node.name for node in shown.nodes if node.is_online and node.kind == "member"] if shown else []
    return [["whatif", "kill", nodes[0]]] if nodes else []
