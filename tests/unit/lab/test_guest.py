"""The definition of the lab's guest: what it has by itself, and what a test may give it."""

from __future__ import annotations

from xml.etree import ElementTree

from kvmha.lab.guest import AGENT_CHANNEL, INIT, domain_xml
from kvmha.lab.plan import make_plan


def devices(**wishes):
    text = domain_xml(make_plan("a").guests[0], suite="bookworm", kvm=False, **wishes)
    return ElementTree.fromstring(text).find("devices")


def test_a_guest_has_neither_a_disk_nor_an_agents_channel_by_itself():
    assert devices().find("channel") is None
    assert devices().find("disk") is None


def test_a_guest_with_an_agent_has_the_channel_by_which_its_init_knows_to_start_it():
    assert devices(has_agent=True).find("channel/target").get("name") == AGENT_CHANNEL
    assert AGENT_CHANNEL in INIT


def test_an_error_of_its_disk_pauses_the_guest():
    disk = devices(disk="/srv/a.img").find("disk")
    assert (disk.find("source").get("file"), disk.find("driver").get("error_policy")) == ("/srv/a.img", "stop")
