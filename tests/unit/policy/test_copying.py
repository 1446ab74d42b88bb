"""What is copied of a guest's disks, and what forbids it: no file is written over, and none is copied in part."""

from __future__ import annotations

import itertools

import pytest

from kvmha.policy import copying
from kvmha.policy.copying import File, View

DISK = File(path="/d/web1.img", size=10, allocated=6, is_there=False)
ISO = File(path="/d/setup.iso", size=4, allocated=4, is_read_only=True, is_there=True)


def view(*files, free=100, **values):
    return View(
        **{
            "guest": "web1", "source": "n1", "target": "n2", "is_on_source": True, "files": files,
            "free_bytes": {"/d": free}, "has_definition": True, **values,
        }
    )  # fmt: skip


def test_a_disk_goes_and_what_is_only_read_and_there_stays():
    found = copying.decide(view(DISK, ISO))
    assert (found.files, found.reasons) == ((DISK,), ())


def test_what_is_only_read_goes_where_it_is_missing():
    iso = ISO.replace(is_there=False)
    assert copying.decide(view(DISK, iso)).files == (DISK, iso)


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        (view(DISK.replace(is_there=True)), "file-there", "n2 has a file /d/web1.img already"),
        (view(DISK.replace(is_there=None)), "unknown-there", "whether n2 has a file /d/web1.img"),
        (view(DISK.replace(kind="block device")), "no-file", "is no plain file but a block device"),
        (view(DISK.replace(backing="/d/base")), "has-backing", "/d/web1.img stands on /d/base"),
        (view(DISK, free=5), "storage-short", "n2: short of 0 MiB for the disks of web1 (0 MiB free)"),
        (view(DISK, is_on_source=False), "not-on-source", "by a command that runs on n1"),
        (view(DISK, has_definition=False), "definition-missing", "n2 does not have the definition of web1"),
        (view(), "nothing-to-copy", "nothing to copy"),
        (view(ISO), "nothing-to-copy", "nothing to copy"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_forbids_it(found, code, said):
    answer = copying.decide(found)
    assert [(reason.code, said in reason.said) for reason in answer.reasons] == [(code, True)]
    assert answer.files == ()


def test_folders_of_one_file_system_share_its_room():
    other = DISK.replace(path="/e/two.img")
    assert copying.decide(view(DISK, other, free_bytes={"/d": 11, "/e": 11})).reasons[0].code == "storage-short"
    assert copying.decide(view(DISK, other, free_bytes={"/d": 11, "/e": 12})).reasons == ()
    assert copying.decide(view(DISK, free_bytes={"/d": None})).reasons == ()


def test_whatever_is_seen_nothing_is_lost():
    values = itertools.product((True, False, None), ("file", "block device"), ("", "/d/base"), (True, False))
    files = [
        DISK.replace(is_there=is_there, kind=kind, backing=backing, is_read_only=is_read_only)
        for is_there, kind, backing, is_read_only in values
    ]
    for one, two in itertools.product(files, files):
        for is_here, free in itertools.product((True, False), (0, 100)):
            seen = view(one, two.replace(path="/d/two.img"), is_on_source=is_here, free=free)
            copying.check_invariants(seen, copying.decide(seen))
