"""Where the address is, what that means, and what a monitor may not do."""

from __future__ import annotations

import pytest

from kvmha.ocf import codes
from kvmha.policy.network import DAD_FAILED, TENTATIVE

VIP, VIP6 = "10.77.0.100", "2001:db8::100"
STATE = "/run/kvmha/FloatingIP/vip"


def test_an_address_that_is_here_is_healthy_and_one_that_is_nowhere_is_not_running(network, call):
    assert call("monitor") == codes.NOT_RUNNING
    network.put(VIP)
    assert [call("monitor"), call("monitor", interval=0.0)] == [0, 0]


def test_a_healthy_monitor_writes_nothing_changes_nothing_and_says_nothing(host, network, call, capfd):
    call("start")
    before = dict(host.files), list(network.changes)
    host.sleep(3600.0)
    network.said.clear()
    assert call("monitor") == 0
    assert (dict(host.files), network.changes, network.said) == (*before, [])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", ["any", "10.77.0.100/24", "10.77", "garbage", "10.0.0.300", " "])
def test_a_text_that_is_no_address_is_nowhere_and_touches_no_other_address(network, call, text):
    assert [call("monitor", ip=text), call("stop", ip=text)] == [codes.NOT_RUNNING, 0]
    assert network.changes == []


def test_another_spelling_of_an_address_is_the_address(network, call):
    network.put(VIP6, prefix=64)
    assert [call(action, ip="2001:DB8:0:0::100") for action in ("monitor", "stop")] == [0, 0]
    assert network.of(VIP6) == []


@pytest.mark.parametrize("action", ["monitor", "stop"])
def test_without_an_address_nothing_is_known(network, call, action, reason):
    assert call(action, ip="") == codes.ERR_CONFIGURED
    assert reason() == "ip is not set"


@pytest.mark.parametrize("action", ["monitor", "stop"])
def test_a_kernel_that_does_not_answer_is_no_absence(network, call, action, reason):
    network.trouble = OSError(11, "the kernel's table changed during each of 10 looks")
    assert call(action) == codes.ERR_GENERIC
    assert reason().startswith(f"{action}: ")


@pytest.mark.parametrize(
    ("place", "given", "said"),
    [
        ({"link": "br1"}, {"nic": "br0"}, "10.77.0.100 is on br1 and not on nic=br0"),
        (
            {"prefix": 16},
            {"cidr_netmask": "24"},
            "10.77.0.100 on br0 has the prefix length 16 and not cidr_netmask=24",
        ),
    ],
    ids=["wrong-link", "wrong-prefix"],
)
def test_an_address_in_the_wrong_place_is_a_failure_and_not_absence(network, call, place, given, said, reason):
    network.put(VIP, **place)
    assert call("monitor", interval=0.0, **given) == codes.ERR_GENERIC
    assert reason() == said


@pytest.mark.parametrize("given", [{}, {"nic": "br0"}])
def test_an_address_that_is_configured_twice_is_a_failure(network, call, given, reason):
    network.put(VIP)
    network.put(VIP, "br1", 32)
    assert call("monitor", **given) == codes.ERR_GENERIC
    assert reason() == "10.77.0.100 is configured 2 times: on br0 with /24 and on br1 with /32"


def test_an_address_that_another_machine_uses_is_a_failure_wherever_its_link_leads(network, call, reason):
    network.put(VIP6, prefix=64, flags=DAD_FAILED | TENTATIVE)
    network.change("br0", has_carrier=False)
    assert call("monitor", ip=VIP6) == codes.ERR_GENERIC
    assert "in use by another machine" in reason()


def test_a_tentative_address_gets_the_time_that_its_check_takes(host, network, call):
    network.put(VIP6, prefix=64, flags=TENTATIVE)
    host.after(1.5, lambda: network.flag(VIP6, 0))
    assert call("monitor", ip=VIP6) == 0


@pytest.mark.parametrize(("flags", "said"), [(DAD_FAILED, "in use by another machine"), (TENTATIVE, "is tentative")])
def test_a_tentative_address_that_does_not_settle_is_a_failure(host, network, call, flags, said, reason):
    network.put(VIP6, prefix=64, flags=TENTATIVE)
    host.after(1.5, lambda: network.flag(VIP6, flags))
    assert call("monitor", ip=VIP6) == codes.ERR_GENERIC
    assert said in reason()


def test_a_link_that_got_another_name_still_carries_its_address(network, call, reason):
    assert call("start", nic="br0") == 0
    network.change("br0", name="lan0")
    assert call("monitor", nic="br0") == codes.DEGRADED
    assert reason() == "10.77.0.100: its link nic=br0 is called lan0 now"
    assert call("stop", nic="br0") == 0


def test_an_alternative_name_is_a_name(network, call):
    network.change("br0", altnames=("enp1s0-of-the-rack",))
    assert [call(action, nic="enp1s0-of-the-rack") for action in ("start", "monitor")] == [0, 0]


def test_a_missing_label_is_a_remark(network, call, reason):
    network.put(VIP, label="br0")
    assert call("monitor", iflabel="web") == codes.DEGRADED
    assert reason() == "10.77.0.100 on br0 does not have iflabel=web"


# --------------------------------------------------------------------------- links


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"has_carrier": False}, "br0 has no carrier"), ({"is_up": False}, "br0 is set down")],
)
def test_a_link_that_leads_nowhere_is_judged_as_the_parameter_says(network, call, fields, said, reason):
    network.put(VIP)
    network.change("br0", **fields)
    assert call("monitor") == codes.ERR_GENERIC
    assert reason() == f"{VIP}: {said}"
    assert call("monitor", on_link_down="degraded") == codes.DEGRADED
    assert call("monitor", check_link_status="false") == 0


def test_a_link_within_its_grace_is_degraded_and_after_it_failed(host, network, call, reason):
    call("start")
    network.change("br0", has_carrier=False)
    assert call("monitor", link_grace="25") == codes.DEGRADED
    assert reason() == f"{VIP}: br0 has no carrier, for 0 s; link_grace is 25 s"
    host.sleep(10.0)
    files = dict(host.files)
    assert call("monitor", link_grace="25") == codes.DEGRADED
    assert host.files == files, "only a change is written down"
    host.sleep(10.0)
    assert call("monitor", link_grace="25") == codes.ERR_GENERIC
    assert reason().endswith(f"{VIP}: br0 has no carrier, for 25 s")


def test_a_link_that_comes_back_within_its_grace_is_forgotten_and_announced_anew(host, network, call):
    call("start", announce_time="1")
    network.change("br0", has_carrier=False)
    assert call("monitor", link_grace="25") == codes.DEGRADED
    network.change("br0", has_carrier=True)
    network.said.clear()
    assert call("monitor", link_grace="25") == 0
    assert b"trouble" not in host.files[STATE]
    assert call("monitor", link_grace="25") == 0
    assert ("announce", "br0", VIP) in network.said


def test_the_last_monitor_before_the_grace_ends_waits_for_its_end(host, network, call):
    call("start")
    network.change("br0", has_carrier=False)
    begun = host.clock
    host.after(2.0, lambda: network.change("br0", has_carrier=True))
    assert call("monitor", link_grace="5") == 0
    assert 2.0 <= host.clock - begun < 2.5
    network.change("br0", has_carrier=False)
    assert call("monitor", link_grace="5") == codes.ERR_GENERIC


def test_a_probe_waits_for_no_grace_and_writes_nothing(host, network, call):
    network.put(VIP)
    network.change("br0", has_carrier=False)
    begun = host.clock
    assert call("monitor", interval=0.0, link_grace="5") == codes.ERR_GENERIC
    assert (host.clock, host.files) == (begun, {})


def test_a_grace_that_is_longer_than_the_monitor_ends_with_the_monitor(host, network, call):
    network.put(VIP)
    network.change("br0", has_carrier=False)
    begun = host.clock
    call("monitor", link_grace="300", interval=600.0, timeout=20.0)
    assert host.clock - begun < 20.0


def test_time_that_was_written_down_before_a_boot_gives_no_longer_grace(host, network, call):
    network.put(VIP)
    network.change("br0", has_carrier=False)
    host.files[STATE] = f"ip={VIP}\ntrouble=999999.0\n".encode()
    assert call("monitor", link_grace="5") == codes.ERR_GENERIC


# ---------------------------------------------------------------------- neighbours


def test_monitors_announce_for_a_while_after_a_start_and_probes_never(host, network, call):
    call("start")
    network.said.clear()
    assert call("monitor", interval=0.0) == 0
    assert network.said == []
    assert call("monitor") == 0
    assert network.said == [("announce", "br0", VIP)]
    host.sleep(61.0)
    assert call("monitor") == 0
    assert len(network.said) == 1
    assert call("monitor", arp_count_refresh="2") == 0
    assert len(network.said) == 3


@pytest.mark.parametrize(("policy", "code"), [("degraded", codes.DEGRADED), ("failed", codes.ERR_GENERIC)])
def test_another_owner_is_named_at_depth_10_and_contradicted(host, network, call, policy, code, reason):
    network.put(VIP)
    network.owners[VIP] = "02:00:00:00:00:99"
    assert call("monitor") == 0
    assert network.said == []
    assert call("monitor", depth=10, on_conflict=policy) == code
    assert reason() == f"{VIP} is also at 02:00:00:00:00:99: another machine has it"
    assert ("announce", "br0", VIP) in network.said


def test_our_own_frames_are_no_conflict(network, call):
    network.put(VIP)
    network.owners[VIP] = "02:00:00:00:00:bb"
    assert call("monitor", depth=10) == 0


def test_a_conflict_that_cannot_be_looked_for_is_none(network, call):
    network.put(VIP)
    network.deaf = OSError(100, "Network is down")
    assert call("monitor", depth=10) == 0


@pytest.mark.parametrize(("policy", "code"), [("degraded", codes.DEGRADED), ("failed", codes.ERR_GENERIC)])
def test_a_silent_gateway_is_judged_as_the_parameter_says(network, call, policy, code, reason):
    network.put(VIP)
    assert call("monitor", check_gateway="10.77.0.1", on_gateway_down=policy) == code
    assert reason() == f"{VIP}: check_gateway=10.77.0.1 does not answer on br0"
    network.owners["10.77.0.1"] = "02:00:00:00:00:01"
    assert call("monitor", check_gateway="10.77.0.1", on_gateway_down=policy) == 0
    network.deaf = OSError(19, "No such device")
    assert call("monitor", check_gateway="10.77.0.1", on_gateway_down=policy) == code


# --------------------------------------------------------------- lost and changed


def test_what_was_started_is_known_without_parameters(network, call):
    call("start", nic="br0")
    assert [call("monitor", ip=None), call("stop", ip=None)] == [0, 0]
    assert network.of(VIP) == []


def test_an_earlier_address_of_the_same_resource_is_not_absence(network, call, reason):
    call("start", ip="10.77.0.99")
    assert call("monitor") == codes.ERR_GENERIC
    assert reason() == "10.77.0.99, which this resource started, is still on br0: ip was changed"
    assert call("stop") == 0
    assert network.of("10.77.0.99") == []


def test_a_monitor_that_cannot_write_still_tells_the_truth(host, network, call, monkeypatch):
    call("start")
    network.change("br0", has_carrier=False)

    def full(path, text, mode=0o644):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(host, "write", full)
    assert call("monitor", link_grace="25") == codes.DEGRADED
    network.change("br0", has_carrier=True)
    host.files[STATE] += b"trouble=1.0\n"
    assert call("monitor") == 0


def test_whoever_names_no_instance_may_mean_several_addresses(network, call):
    call("start", ip="10.77.0.99", instance="default")
    assert [call("monitor", instance="default"), call("stop", instance="default")] == [codes.NOT_RUNNING, 0]
    assert network.of("10.77.0.99") == ["br0/24"]


@pytest.mark.parametrize(
    "params", [{"arp_count": "0x"}, {"cidr_netmask": "255.255.255.0"}, {"on_link_down": "maybe"}, {"link_grace": "-1"}]
)
def test_a_wrong_parameter_keeps_neither_stop_nor_probe_from_the_truth(network, call, params):
    network.put(VIP)
    assert [call("monitor", interval=0.0, **params), call("monitor", **params), call("stop", **params)] == [0, 0, 0]
    assert network.of(VIP) == []
