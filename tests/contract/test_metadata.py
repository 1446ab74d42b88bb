"""Each agent's metadata as its readers get it: from a process without environment, by an unprivileged user."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kvmha.resources.drbd import DRBD
from kvmha.resources.drbd.primary import DRBDPrimary
from kvmha.resources.floating_ip import FloatingIP
from kvmha.resources.virtual_domain import VirtualDomain

AGENTS = {"VirtualDomain": VirtualDomain, "FloatingIP": FloatingIP, "DRBD": DRBD, "DRBDPrimary": DRBDPrimary}
PYTHON = "/usr/bin/python3"

# The schemas are not ours to ship. They come with the packages of Debian: on this machine, or in an image of the lab.
IMAGES = sorted(Path("/var/cache/kvmha/lab").glob("*/root"))
ROOTS = (Path("/"), *(root for root in IMAGES if not root.parent.name.startswith("building-")))
PACKAGE_OF = {
    "usr/share/pcs/data/ocf-1.1.rng": "pcs",
    "usr/share/pacemaker/api/ocf-ra-1.1.rng": "pacemaker-cli-utils",
    "usr/share/pacemaker/ocf-ra-1.1.rng": "pacemaker-cli-utils",
    "usr/share/resource-agents/ra-api-1.dtd": "resource-agents",
}

needs_python = pytest.mark.skipif(not os.access(PYTHON, os.X_OK), reason=f"needs {PYTHON}, which runs the agents")


def schema(*paths):
    """Return the first of these files below one of the roots; skip the test if no package brought one."""
    for root in ROOTS:
        for path in paths:
            if (root / path).is_file():
                return root / path
    packages = sorted({PACKAGE_OF[path] for path in paths})
    pytest.skip(
        f"needs {' or '.join(paths)} of the Debian package {' or '.join(packages)}, here or in an image of the lab"
    )


@pytest.fixture(scope="module", params=sorted(AGENTS))
def agent(request):
    return request.param


@pytest.fixture(scope="module")
def document(agent):
    """Return what the agent's file prints, with an empty environment and as nobody where we may become that."""
    file = Path(__file__).resolve().parents[2] / "agents" / agent
    user = {}
    if os.geteuid() == 0 and _nobody_can_read(file):
        user = {"user": "nobody", "group": "nogroup", "extra_groups": ()}
    done = subprocess.run(
        [PYTHON, "-B", "-IS", str(file), "meta-data"],
        env={},
        capture_output=True,
        timeout=60,
        check=False,
        cwd="/",
        **user,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def _nobody_can_read(file):
    """Tell whether the checkout lies where nobody may go: one below /root is not the agent's fault."""
    return all(folder.stat().st_mode & 0o001 for folder in file.parents)


@needs_python
def test_it_is_the_same_whatever_the_path_and_the_caller(agent, document):
    file = Path(__file__).resolve().parents[2] / "agents" / agent
    for environ in (
        {"PATH": "/bin:/usr/bin"},
        {"PATH": "/nowhere", "LANG": "de_DE.UTF-8", "OCF_RESKEY_config": "", "HOME": "/x"},
    ):
        done = subprocess.run(
            [PYTHON, "-B", "-IS", str(file), "meta-data"], env=environ, capture_output=True, timeout=60, check=True
        )
        assert done.stdout == document


@needs_python
def test_it_is_ascii_and_well_formed(agent, document):
    assert ElementTree.fromstring(document.decode("ascii")).get("name") == agent


@needs_python
@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(("usr/share/pcs/data/ocf-1.1.rng",), id="pcs"),
        pytest.param(("usr/share/pacemaker/api/ocf-ra-1.1.rng", "usr/share/pacemaker/ocf-ra-1.1.rng"), id="pacemaker"),
    ],
)
def test_it_satisfies_the_schema_of_ocf_1_1(document, paths):
    etree = pytest.importorskip("lxml.etree", reason="needs lxml to read a schema")
    relaxng = etree.RelaxNG(etree.parse(str(schema(*paths))))
    tree = etree.fromstring(document)
    assert relaxng.validate(tree), relaxng.error_log
    for parameter in tree.iter("parameter"):
        parameter.attrib.pop("name")
    assert not relaxng.validate(tree), "the schema lets anything pass"


@needs_python
def test_it_satisfies_the_dtd_of_ocf_tester(document, tmp_path):
    etree = pytest.importorskip("lxml.etree", reason="needs lxml to read a DTD")
    (tmp_path / "ra-api-1.dtd").write_bytes(schema("usr/share/resource-agents/ra-api-1.dtd").read_bytes())
    file = tmp_path / "metadata.xml"
    # The document names its DTD relatively, as ocf-tester has it in its working directory.
    parser = etree.XMLParser(dtd_validation=True, load_dtd=True, no_network=True)
    file.write_bytes(document)
    etree.parse(str(file), parser)
    file.write_bytes(document.replace(b"<version>", b"<novelty>").replace(b"</version>", b"</novelty>"))
    with pytest.raises(etree.XMLSyntaxError, match="novelty"):
        etree.parse(str(file), etree.XMLParser(dtd_validation=True, load_dtd=True, no_network=True))


@needs_python
def test_every_parameter_is_explained(document):
    for parameter in ElementTree.fromstring(document).iter("parameter"):
        short, long = parameter.findtext("shortdesc"), parameter.findtext("longdesc")
        assert short, parameter.get("name")
        assert len(short) <= 80, parameter.get("name")
        assert not short.endswith("."), parameter.get("name")
        assert long.endswith("."), parameter.get("name")
        assert "  " not in long, parameter.get("name")


@needs_python
def test_every_default_is_a_value_of_its_parameter(agent, document):
    for parameter in AGENTS[agent].params:
        if parameter.default:
            parameter.parse(parameter.default)
        assert parameter.name == parameter.name.strip()
    names = [parameter.get("name") for parameter in ElementTree.fromstring(document).iter("parameter")]
    assert names == [parameter.name for parameter in AGENTS[agent].params]
    assert len(set(names)) == len(names)


@needs_python
def test_every_advertised_action_is_a_method_and_the_obligatory_ones_are_there(agent, document):
    actions = {action.get("name") for action in ElementTree.fromstring(document).iter("action")}
    assert {"start", "stop", "monitor", "meta-data", "validate-all", "reload-agent"} <= actions
    for action in actions - {"meta-data"}:
        assert callable(getattr(AGENTS[agent], action.replace("-", "_"), None)), action
