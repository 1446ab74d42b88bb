"""The options of virsh migrate in libvirt's terms; each was given to libvirt 9.0 or 11.3 as it stands here."""

from __future__ import annotations

import pytest

from kvmha.tools.virsh_options import OPTIONS, REFUSED, parse

TAKEN = {
    "--live": ((), {}),
    "--verbose": ((), {}),
    "--p2p": (("PEER2PEER",), {}),
    "--tunnelled": (("PEER2PEER", "TUNNELLED"), {}),
    "--p2p --tunnelled": (("PEER2PEER", "TUNNELLED"), {}),
    "--persistent": (("PERSIST_DEST",), {}),
    "--undefinesource": (("UNDEFINE_SOURCE",), {}),
    "--change-protection": (("CHANGE_PROTECTION",), {}),
    "--unsafe": (("UNSAFE",), {}),
    "--abort-on-error": (("ABORT_ON_ERROR",), {}),
    "--bandwidth 100": ((), {"bandwidth": 100}),
    "--available-switchover-bandwidth 50": ((), {"bandwidth.avail.switchover": 50}),
    "--auto-converge": (("AUTO_CONVERGE",), {}),
    "--auto-converge --auto-converge-initial 30": (("AUTO_CONVERGE",), {"auto_converge.initial": 30}),
    "--auto-converge-increment=20 --auto-converge": (("AUTO_CONVERGE",), {"auto_converge.increment": 20}),
    "--postcopy": (("POSTCOPY",), {}),
    "--postcopy --postcopy-bandwidth 50": (("POSTCOPY",), {"bandwidth.postcopy": 50}),
    "--parallel": (("PARALLEL",), {}),
    "--parallel --parallel-connections 4": (("PARALLEL",), {"parallel.connections": 4}),
    "--parallel --zerocopy": (("PARALLEL", "ZEROCOPY"), {}),
    "--compressed": (("COMPRESSED",), {}),
    "--comp-methods mt,xbzrle": ((), {"compression": ("mt", "xbzrle")}),
    "--comp-methods mt --comp-mt-level 1": ((), {"compression": ("mt",), "compression.mt.level": 1}),
    "--comp-methods mt --comp-mt-threads 2": ((), {"compression": ("mt",), "compression.mt.threads": 2}),
    "--comp-methods mt --comp-mt-dthreads 2": ((), {"compression": ("mt",), "compression.mt.dthreads": 2}),
    "--comp-methods=xbzrle --comp-xbzrle-cache 67108864": (
        (),
        {"compression": ("xbzrle",), "compression.xbzrle.cache": 67108864},
    ),
    "--parallel --comp-methods zlib --comp-zlib-level 1": (
        ("PARALLEL",),
        {"compression": ("zlib",), "compression.zlib.level": 1},
    ),
    "--parallel --comp-methods zstd --comp-zstd-level 1": (
        ("PARALLEL",),
        {"compression": ("zstd",), "compression.zstd.level": 1},
    ),
    "--tls": (("TLS",), {}),
    "--tls --tls-destination n2.example.org": (("TLS",), {"tls.destination": "n2.example.org"}),
    "--rdma-pin-all": (("RDMA_PIN_ALL",), {}),
    "--copy-storage-all": (("NON_SHARED_DISK",), {}),
    "--copy-storage-inc": (("NON_SHARED_INC",), {}),
    "--copy-storage-all --copy-storage-synchronous-writes": (
        ("NON_SHARED_DISK", "NON_SHARED_SYNCHRONOUS_WRITES"),
        {},
    ),
    "--migrate-disks vda,vdb": ((), {"migrate_disks": ("vda", "vdb")}),
    "--migrate-disks-detect-zeroes vda": ((), {"migrate_disks_detect_zeroes": ("vda",)}),
    "--disks-port 49300": ((), {"disks_port": 49300}),
    "--disks-uri tcp://%n:49300": ((), {"disks_uri": "tcp://%n:49300"}),
    "--listen-address 0.0.0.0": ((), {"listen_address": "0.0.0.0"}),
    "--graphicsuri spice://%n:5900": ((), {"graphics_uri": "spice://%n:5900"}),
    "--migrateuri=tcp://%n": ((), {"migrate_uri": "tcp://%n"}),
    "--migrateuri 'tcp://%n'": ((), {"migrate_uri": "tcp://%n"}),
}


@pytest.mark.parametrize("text", TAKEN)
def test_an_option_becomes_a_flag_or_a_parameter_of_libvirt(text):
    options, wrong = parse(text)
    assert wrong == []
    assert (options.flags, options.parameters) == TAKEN[text]


def test_every_option_of_the_table_has_its_case():
    words = {word.partition("=")[0] for text in TAKEN for word in text.split()}
    assert set(OPTIONS) == {word for word in words if word.startswith("--")}


def test_nothing_asks_for_nothing():
    options, wrong = parse("  ")
    assert (options.flags, options.parameters, wrong) == ((), {}, [])


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("form", ["{}", "{} x", "{}=x"])
def test_an_option_that_decides_who_where_or_when_is_refused(name, form):
    has_value = form == "{}" or name in ("--domain", "--desturi", "--dname", "--xml", "--persistent-xml", "--timeout")
    _options, wrong = parse(form.format(name))
    assert wrong[0] == f"{name} is not taken: {REFUSED[name]}"
    assert len(wrong) == 1 or not has_value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--auto-converg", "--auto-converg is no option of virsh migrate (is it --auto-converge?)"),
        ("--qqq", "--qqq is no option of virsh migrate"),
        ("fast", '"fast" is no option'),
        ("--parallel 4", '"4" is no option'),
        ("--parallel=4", "--parallel takes no value"),
        ("--bandwidth", "--bandwidth needs a value"),
        ("--bandwidth --live", "--bandwidth needs a value"),
        ("--bandwidth=", "--bandwidth needs a value"),
        ("--bandwidth 10M", "--bandwidth=10M is not a whole number of 1 on"),
        ("--bandwidth -1", "--bandwidth=-1 is not a whole number of 1 on"),
        ("--bandwidth 0", "--bandwidth=0 is not a whole number of 1 on"),
        ("--bandwidth 1 --bandwidth=2", "--bandwidth is there twice"),
        (
            "--auto-converge --auto-converge-initial 100",
            "--auto-converge-initial=100 is not a whole number from 1 to 99",
        ),
        ("--auto-converge-initial 20", "--auto-converge-initial needs --auto-converge"),
        ("--parallel-connections 2", "--parallel-connections needs --parallel"),
        ("--zerocopy", "--zerocopy needs --parallel"),
        ("--postcopy-bandwidth 2", "--postcopy-bandwidth needs --postcopy"),
        ("--tls-destination n2", "--tls-destination needs --tls"),
        ("--compressed --comp-mt-level 1", "--comp-mt-level needs --comp-methods mt"),
        ("--comp-methods mt --comp-xbzrle-cache 1", "--comp-xbzrle-cache needs --comp-methods xbzrle"),
        ("--comp-methods lz4", "--comp-methods=lz4 is not of mt, xbzrle, zlib, zstd"),
        ("--migrate-disks ,", "--migrate-disks=, is not of names separated by commas"),
        ("--disks-port 70000", "--disks-port=70000 is not a whole number from 1 to 65535"),
        ("--dname 'a", "cannot be split into words: no closing quotation"),
    ],
)
def test_a_wrong_word_is_told_with_what_would_be_right(text, said):
    assert parse(text)[1] == [said]


def test_all_wrong_words_are_told_at_once():
    text = "--paralel --dname x --bandwidth fast --parallel-connections 2"
    assert [sentence.split()[0] for sentence in parse(text)[1]] == [
        "--paralel", "--dname", "--bandwidth=fast", "--parallel-connections",
    ]  # fmt: skip
