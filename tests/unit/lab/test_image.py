"""What the image and the initramfs are made of."""

from __future__ import annotations

import lzma
import shutil
import subprocess

import pytest

from kvmha.host import Host
from kvmha.lab import initramfs, package, recipe
from kvmha.lab.image import ProgressReader, why_no_space
from kvmha.lab.lock import Lock
from kvmha.lab.plan import LabError


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
def test_cpio_reads_the_archive_that_is_written(tmp_path):
    entries = [
        initramfs.file_entry("a/b/c", b"content", mode=0o640, changed=1234567890),
        initramfs.link_entry("a/link", "b/c"),
        initramfs.folder_entry("empty"),
        initramfs.file_entry("init", b"#!/bin/sh\n", mode=0o755),
    ]
    subprocess.run(["cpio", "-idm", "--quiet"], cwd=tmp_path, input=initramfs.cpio(entries), check=True, timeout=10)
    assert (tmp_path / "a/b/c").read_bytes() == b"content"
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a/b/c").stat().st_mtime == 1234567890
    assert (tmp_path / "a/link").read_bytes() == b"content"
    assert (tmp_path / "empty").is_dir()
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755


def test_the_archive_is_one_that_the_kernel_unpacks():
    archive = initramfs.cpio([initramfs.device_entry("dev/console", 5, 1)])
    # The kernel's buffer-format.rst: magic, inode, mode, uid, gid, nlink, mtime, filesize, maj, min, rmaj, rmin, ...
    folder, device, trailer = (archive[place:] for place in _places(archive))
    assert folder[14:22] == b"%08x" % 0o040755
    assert device[14:22] == b"%08x" % 0o020600
    assert (device[78:86], device[86:94]) == (b"00000005", b"00000001")
    assert trailer[110:121] == b"TRAILER!!!\0"
    assert len(archive) % 4 == 0


def _places(archive):
    place, places = 0, []
    while (place := archive.find(b"070701", place)) >= 0:
        places.append(place)
        place += 6
    return places


def test_modules_come_after_what_they_need(tmp_path):
    def module(name, needs, packed=False):
        content = b"\x7fELF\0license=GPL\0depends=" + needs.encode() + b"\0retpoline=Y\0"
        path = tmp_path / f"kernel/drivers/{name}.ko{'.xz' if packed else ''}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(content) if packed else content)

    module("virtio-net", "net_failover,virtio", packed=True)
    module("net_failover", "failover")
    module("failover", "")
    module("virtio", "")
    names = [name for name, _ in initramfs.modules(str(tmp_path), ["virtio_net", "virtio", "built_in"])]
    assert names == ["failover.ko", "net_failover.ko", "virtio.ko", "virtio_net.ko"]


@pytest.mark.parametrize("place", ["lib/modules", "usr/lib/modules"])
def test_modules_are_found_where_debian_12_and_13_have_them(tmp_path, place):
    # Seen: with the folder of Debian 12 a guest of Debian 13 had no network, and nobody said so.
    (tmp_path / place).mkdir(parents=True)
    assert initramfs.module_folder(str(tmp_path)) == f"{tmp_path}/{place}"


def test_a_kernel_package_without_modules_is_told_from_one_with_none_wanted(tmp_path):
    assert initramfs.module_folder(str(tmp_path)) is None


def test_a_packed_module_is_unpacked(tmp_path):
    (tmp_path / "a.ko.xz").write_bytes(lzma.compress(b"\0depends=\0"))
    assert initramfs.modules(str(tmp_path), ["a"]) == [("a.ko", b"\0depends=\0")]


def test_suites_have_images_of_their_own():
    assert recipe.key("bookworm") != recipe.key("trixie")


@pytest.mark.parametrize("changed", ["PACKAGES", "DISABLED", "MASKED", "FILES"])
def test_a_changed_recipe_makes_another_image(monkeypatch, changed):
    before = recipe.key("bookworm")
    now = {**recipe.FILES, "/etc/new": ""} if changed == "FILES" else (*getattr(recipe, changed), "new")
    monkeypatch.setattr(recipe, changed, now)
    assert recipe.key("bookworm") != before


def test_progress_counts_packages():
    reader = ProgressReader()
    said = [reader.read(line) for line in (
        "I: running apt-get update...",
        "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
        "Unpacking libc6:amd64 (2.36-9+deb12u10) ...",
        "Setting up libc6:amd64 (2.36-9+deb12u10) ...",
        "Setting up pcs (0.11.5-1+deb12u1) ...",
    )]  # fmt: skip
    assert said == ["running apt-get update", "2 packages", "", "installing 1/2: libc6", "installing 2/2: pcs"]


def test_the_first_error_is_the_one_that_is_told():
    reader = ProgressReader()
    reader.read("E: Unable to locate package pcs")
    reader.read("E: apt-get failed")
    assert reader.error == "Unable to locate package pcs"


def test_a_full_disk_is_told_with_figures(tmp_path):
    assert why_no_space(f"{tmp_path}/not/yet/there", 1) is None
    assert "1048576.0 GiB are needed" in why_no_space(f"{tmp_path}/not/yet/there", 1 << 50)


def test_a_lock_keeps_the_second_one_out(tmp_path):
    host, path = Host(), f"{tmp_path}/folder/lock"
    first, second = (Lock(host, path, wait=0.0, busy="taken") for _ in range(2))
    with first, pytest.raises(LabError, match="taken"):
        second.__enter__()
    with Lock(host, path, wait=0.0, busy="taken"):
        pass


def test_a_lock_whose_folder_was_removed_meanwhile_is_taken_anew(tmp_path):
    host, path = Host(), f"{tmp_path}/folder/lock"
    with Lock(host, path, wait=0.0, busy="taken"):
        shutil.rmtree(f"{tmp_path}/folder")
        with Lock(host, path, wait=0.0, busy="taken"):
            assert host.exists(path)


def test_a_package_that_is_not_there_is_named():
    with pytest.raises(LabError, match=r"--package: there is no file /nowhere/kvmha\.deb"):
        package.find("/nowhere/kvmha.deb")
