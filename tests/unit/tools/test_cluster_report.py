"""A saved cluster: a CIB alone, or a report, packed or not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from kvmha.errors import UserError
from kvmha.host import Host
from kvmha.tools import cluster_report

CIB = '<cib admin_epoch="0" epoch="%d" num_updates="%d"><configuration/></cib>'
FILES = {"n1/cib.xml": CIB % (7, 10), "n2/cib.xml": CIB % (7, 9), "n2/corosync.conf": "of n2", "n1/journal.log": "x"}


def packed(path, files, mode="w:bz2"):
    with tarfile.open(path, mode) as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"report/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return str(path)


def test_a_cib_alone_is_itself(tmp_path):
    (tmp_path / "cib.xml").write_text(CIB % (1, 2))
    assert cluster_report.read(Host(), str(tmp_path / "cib.xml")) == cluster_report.Saved(cib=CIB % (1, 2))


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress, lzma.compress])
def test_a_cib_that_was_packed_alone_is_read_too_as_pacemaker_keeps_the_inputs_of_its_scheduler(tmp_path, pack):
    whole = pack((CIB % (1, 2)).encode())
    (tmp_path / "pe-input-1.bz2").write_bytes(whole)
    assert cluster_report.read(Host(), str(tmp_path / "pe-input-1.bz2")).cib == CIB % (1, 2)
    (tmp_path / "short").write_bytes(whole[: len(whole) - 12])
    with pytest.raises(UserError) as caught:
        cluster_report.read(Host(), str(tmp_path / "short"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["w:bz2", "w:gz", "w:xz", "w:"])
def test_of_a_packed_report_the_latest_cib_counts(tmp_path, mode):
    found = cluster_report.read(Host(), packed(tmp_path / "report.tar", FILES, mode))
    assert (found.cib, found.conf) == (CIB % (7, 10), "of n2")


def test_a_report_that_was_unpacked_is_read_the_same_way(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = cluster_report.read(Host(), str(tmp_path))
    assert (found.cib, found.conf) == (CIB % (7, 10), "of n2")


def test_a_report_without_a_cib_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no cib\.xml"):
        cluster_report.read(Host(), packed(tmp_path / "report.tar", {"n1/journal.log": "x"}))


def test_an_archive_that_ends_early_is_refused(tmp_path):
    packed(tmp_path / "report.tar", FILES, "w:gz")
    text = (tmp_path / "report.tar").read_bytes()
    (tmp_path / "short").write_bytes(text[: len(text) // 2])
    with pytest.raises(UserError, match=r"cannot be read to its end"):
        cluster_report.read(Host(), str(tmp_path / "short"))


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        cluster_report.read(Host(), str(tmp_path / "gone"))
