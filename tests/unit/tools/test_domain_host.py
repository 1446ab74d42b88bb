"""What definitions need of their host by name."""

from __future__ import annotations

import pytest

from kvmha.policy.guest_needs import GuestNeeds
from kvmha.tools.domain_host import parse

PCI = "<source><address domain='0x0000' bus='0x3' slot='0x0a' function='0x0'/></source>"


def definition(devices="", *, head=""):
    return f"<domain><name>web1</name>{head}<devices>{devices}</devices></domain>"


@pytest.mark.parametrize(
    ("devices", "field", "names"),
    [
        ("<interface type='bridge'><source bridge='br1'/></interface>", "networks", ("br1",)),
        ("<interface type='network'><source network='lan'/></interface>", "networks", ("lan",)),
        ("<interface type='direct'><source dev='eth0' mode='bridge'/></interface>", "networks", ("eth0",)),
        ("<interface type='user'/>", "networks", ()),
        (f"<hostdev mode='subsystem' type='pci'>{PCI}</hostdev>", "devices", ("0000:03:0a.0",)),
        (f"<interface type='hostdev'>{PCI}</interface>", "devices", ("0000:03:0a.0",)),
        (
            "<hostdev type='usb'><source><vendor id='0x1d6b'/><product id='0x0104'/></source></hostdev>",
            "devices",
            ("1d6b:0104",),
        ),
        (
            "<hostdev type='mdev'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>",
            "devices",
            ("c2177883-f1bb-47f0-914d-32a22e3a8804",),
        ),
        ("<disk type='file'><source file='/srv/a'/></disk>", "storage", ("/srv/a",)),
        ("<disk type='block' device='lun'><source dev='/dev/vg0/a'/></disk>", "storage", ("/dev/vg0/a",)),
        ("<disk type='volume'><source pool='p' volume='v'/></disk>", "storage", ("p",)),
        ("<disk type='block'><source dev='/dev/drbd0'/></disk>", "storage", ()),
        ("<disk type='block'><source dev='/dev/drbd/by-res/web1/0'/></disk>", "storage", ()),
        ("<disk type='network'><source protocol='rbd' name='p/x'/></disk>", "storage", ()),
        ("<disk type='file' device='cdrom'><source file='/srv/x.iso'/></disk>", "storage", ()),
        ("<disk type='file'><source file='/srv/x' startupPolicy='optional'/></disk>", "storage", ()),
        ("<disk type='file'/><hostdev type='pci'/><interface type='bridge'/>", "storage", ()),
    ],
)
def test_a_device_names_what_it_needs(devices, field, names):
    assert parse(definition(devices)) == GuestNeeds(**{field: names})


def test_processors_and_what_they_have_to_know():
    cpu = (
        "<vcpu>4</vcpu><cpu mode='custom'><model>Skylake-Server</model><feature name='aes' policy='require'/>"
        "<feature name='hle' policy='disable'/></cpu>"
    )
    assert parse(definition(head=cpu)) == GuestNeeds(vcpus=4, features=("Skylake-Server", "aes"))
    assert parse(definition(head="<vcpu>many</vcpu><cpu mode='host-passthrough'/>")) == GuestNeeds()


def test_what_is_needed_twice_is_named_once():
    twice = "<interface type='bridge'><source bridge='br1'/></interface>" * 2
    assert parse(definition(twice)).networks == ("br1",)


def test_what_is_no_xml_is_refused():
    with pytest.raises(ValueError, match="it is not well-formed XML"):
        parse("<domain")
