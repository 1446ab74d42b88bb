"""booth.conf: who votes, and the times of tickets."""

from __future__ import annotations

from kvmha.tools.booth_conf import BoothTicket, parse

TEXT = """\
# a comment = no value
transport = UDP
port = 9929
site="192.0.2.1"
site = 198.51.100.1
arbitrator = 203.0.113.1   # a third place
ticket = "__defaults__"
    retries = 5
    acquire-after = 2m
ticket = "first"
    expire = 5m
    renewal-freq = 60
ticket = 'second'
    timeout = 500ms
    retries = many
"""


def test_members_and_tickets_with_the_defaults_of_all():
    conf = parse(TEXT)
    assert conf.sites == ("192.0.2.1", "198.51.100.1")
    assert conf.arbitrators == ("203.0.113.1",)
    first, second = conf.tickets
    assert first == BoothTicket(name="first", expire=300, acquire_after=120, timeout=5, retries=5, renewal=60)
    assert second == BoothTicket(name="second", expire=600, acquire_after=120, timeout=0.5, retries=10, renewal=300)


def test_no_file_is_nothing():
    assert parse("") == parse("# nothing\n")
    assert parse("").tickets == ()
