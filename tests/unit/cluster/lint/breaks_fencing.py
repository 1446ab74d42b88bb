"""For each rule about fencing and sbd: a change that breaks it, and one next to it that does not."""

from __future__ import annotations

from kvmha.policy.node import Unit, Watchdog
from tests.unit.cluster.lint.breaks_ring import cib, conf, fields
from tests.unit.cluster.lint.examples import UNITS, Change

SBD_FIELDS = {"SBD_WATCHDOG_DEV": "/dev/watchdog", "SBD_WATCHDOG_TIMEOUT": "5", "SBD_DELAY_START": "no"}
N3_DEVICES = (
    ('value="n3"', 'value="n2"'),
    ('value="n3:3"', 'value="n2:2"'),
    ('name="plug" value="3"', 'name="plug" value="2"'),
    ("10.77.9.13", "10.77.9.12"),
    ('      <fencing-level id="fl-n3-1" target="n3" index="1" devices="fence-n3"/>\n', ""),
    ('      <fencing-level id="fl-n3-2" target="n3" index="2" devices="power-n3"/>\n', ""),
)


def sbd(old, new, *more):
    return Change(sbd=((old, new), *more))


def prop(name, value, where="have-watchdog"):
    """Add a property beside one that is there."""
    mark = f'        <nvpair id="cib-bootstrap-options-{where}"'
    return cib(mark, f'        <nvpair id="cib-bootstrap-options-{name}" name="{name}" value="{value}"/>\n{mark}')


def option(device, name, value):
    """Add an option to a fence device."""
    mark = f'          <nvpair id="{device}-ip"'
    return cib(mark, f'          <nvpair id="{device}-{name}" name="{name}" value="{value}"/>\n{mark}')


def meta(device, name, value):
    """Give a fence device a meta attribute."""
    mark = f'        <instance_attributes id="{device}-instance_attributes">'
    block = f'<meta_attributes id="{device}-meta"><nvpair id="{device}-{name}" name="{name}" value="{value}"/>'
    return cib(mark, f"        {block}</meta_attributes>\n{mark}")


def sbd_unit(limit):
    return fields(units=(*UNITS, Unit(name="sbd.service", is_installed=True, start_timeout_s=limit)))


def watchdog(identity):
    return fields(watchdog=Watchdog(device="/dev/watchdog0", identity=identity))


def location(resource, node):
    mark = "    <constraints>\n"
    return (
        mark,
        f'{mark}      <rsc_location id="no-{resource}-{node}" rsc="{resource}" node="{node}" score="-INFINITY"/>\n',
    )


NO_DELAY = ('          <nvpair id="fence-n1-delay" name="pcmk_delay_base" value="5s"/>\n', "")
NO_PRIORITY_DELAY = ('name="priority-fencing-delay" value="10s"', 'name="priority-fencing-delay" value="0"')
NO_PRIORITY = ('name="priority" value="1"', 'name="priority" value="0"')

BREAKS = {
    "fencing-off": (
        "three",
        cib('name="stonith-enabled" value="true"', 'name="stonith-enabled" value="false"'),
        cib('name="stonith-enabled" value="true"', 'name="stonith-enabled" value="yes"'),
        (),
    ),
    "fencing-none": ("three", Change(cib=N3_DEVICES), None, ()),
    "fencing-disabled": (
        "three",
        meta("power-n3", "target-role", "Stopped"),
        meta("power-n3", "target-role", "Started"),
        # What is left to fence the node is its own controller.
        ("fencing-power",),
    ),
    "fencing-stranger": (
        "three",
        cib('name="pcmk_host_list" value="n3"', 'name="pcmk_host_list" value="n3 n4"'),
        cib('name="pcmk_host_list" value="n3"', 'name="pcmk_host_list" value="n2,n3"'),
        (),
    ),
    "fencing-level-stranger": (
        "three",
        cib('index="2" devices="power-n3"', 'index="2" devices="power-n3,power-n4"'),
        cib('index="2" devices="power-n3"', 'index="2" devices="power-n3,power-n2"'),
        (),
    ),
    "startup-fencing": ("three", prop("startup-fencing", "false"), prop("startup-fencing", "true"), ()),
    # fence_ipmilan: login 5 + off (2 + 20) + on (2 + 20) = 49 s.
    "fencing-timeout": (
        "three",
        option("fence-n1", "pcmk_reboot_timeout", "48s"),
        option("fence-n1", "pcmk_reboot_timeout", "49s"),
        (),
    ),
    "fencing-race": ("pair", Change(cib=(NO_DELAY, NO_PRIORITY_DELAY)), Change(cib=(NO_PRIORITY_DELAY,)), ()),
    "fencing-head-start": ("pair", cib('value="5s"', 'value="1s"'), cib('value="5s"', 'value="2s"'), ()),
    "fencing-chance": (
        "pair",
        Change(cib=(('name="pcmk_delay_base" value="5s"', 'name="pcmk_delay_max" value="15s"'), NO_PRIORITY_DELAY)),
        Change(cib=(NO_PRIORITY_DELAY,)),
        (),
    ),
    "priority-delay-short": (
        "pair",
        cib('delay" value="10s"', 'delay" value="9s"'),
        cib('delay" value="10s"', 'delay" value="11s"'),
        (),
    ),
    "priority-delay-tie": ("pair", Change(cib=(NO_DELAY,)), None, ()),
    "priority-delay-idle": ("pair", Change(cib=(NO_PRIORITY,)), None, ()),
    "fencing-cycle": ("three", option("fence-n1", "method", "cycle"), option("fence-n1", "method", "onoff"), ()),
    "fencing-unwatched": (
        "three",
        cib('id="fence-n2-monitor" name="monitor" interval="60s"', 'id="fence-n2-monitor" name="monitor" interval="0"'),
        cib(
            'id="fence-n2-monitor" name="monitor" interval="60s"', 'id="fence-n2-monitor" name="monitor" interval="1h"'
        ),
        (),
    ),
    "fencing-self": (
        "three",
        Change(cib=(location("power-n1", "n2"), location("power-n1", "n3"))),
        Change(cib=(location("power-n1", "n2"),)),
        (),
    ),
    "fencing-same-device": (
        "three",
        cib('value="10.77.9.13"', 'value="10.77.9.12"'),
        cib('value="10.77.9.13"', 'value="10.77.9.14"'),
        (),
    ),
    "fencing-on-node": (
        "three",
        cib('value="10.77.9.13"', 'value="10.77.0.12"'),
        cib('value="10.77.9.13"', 'value="10.77.0.99"'),
        (),
    ),
    "fencing-network": (
        "three",
        Change(
            conf=tuple((f"        ring1_addr: 10.77.1.1{number}\n", "") for number in (1, 2, 3)),
            cib=(("10.77.9.", "10.77.0."), ("10.77.0.100", "10.77.0.200")),
        ),
        None,
        # Being the only link is a fault in itself; so is, here, that the controllers have the nodes' addresses.
        ("one-link", "fencing-on-node"),
    ),
    "fencing-power": (
        "three",
        cib('index="2" devices="power-n3"', 'index="2" devices="fence-n3"'),
        None,
        (),
    ),
    "fencing-serial": ("three", prop("concurrent-fencing", "false"), prop("concurrent-fencing", "true"), ()),
    "fencing-stays-off": ("three", prop("stonith-action", "off"), prop("stonith-action", "reboot"), ()),
    "sbd-msgwait": (
        "disk",
        Change(facts=lambda found: found.replace(sbd=found.sbd.replace(msgwait_s=19.0))),
        Change(facts=lambda found: found.replace(sbd=found.sbd.replace(msgwait_s=20.0))),
        (),
    ),
    # 1.2 x msgwait 20 s = 24 s.
    "sbd-stonith-timeout": ("disk", prop("stonith-timeout", "23s"), prop("stonith-timeout", "24s"), ()),
    "sbd-watchdog-wait": ("watchdog", cib('value="20s"', 'value="19s"'), cib('value="20s"', 'value="21s"'), ()),
    # That the watchdog is not counted on leaves no fencing at all.
    "sbd-watchdog-unset": ("watchdog", cib('value="20s"', 'value="0"'), None, ("fencing-none",)),
    "watchdog-without-sbd": (
        "watchdog",
        cib('name="have-watchdog" value="true"', 'name="have-watchdog" value="false"'),
        None,
        (),
    ),
    "sbd-diskless-pair": (
        "disk",
        Change(sbd=(('SBD_DEVICE="/dev/disk/by-id/one"\n', ""),), cib=(("10s", "20s"),)),
        None,
        # Without a disk it is the property that makes Pacemaker count on the watchdog; and systemd waits too short.
        ("sbd-watchdog-unset",),
    ),
    "sbd-device-sync": (
        "device",
        Change(facts=lambda found: found.replace(sbd=_sbd(11.9), uses_sbd=False)),
        Change(facts=lambda found: found.replace(sbd=_sbd(12.0), uses_sbd=False)),
        (),
    ),
    # token + consensus 6.6 s + msgwait 20 s = 26.6 s.
    "sbd-delay-start": ("disk", sbd("DELAY_START=60", "DELAY_START=26"), sbd("DELAY_START=60", "DELAY_START=27"), ()),
    "sbd-start-limit": ("disk", sbd_unit(60.0), sbd_unit(61.0), ()),
    "sbd-softdog": ("disk", watchdog("Software Watchdog"), watchdog("iTCO_wdt"), ()),
    "sbd-no-watchdog": ("disk", fields(has_watchdog=False, watchdog=None), fields(has_watchdog=True), ()),
    "sbd-differs": ("watchdog", fields(sbd=SBD_FIELDS), fields(sbd={**SBD_FIELDS, "SBD_WATCHDOG_TIMEOUT": "10"}), ()),
    "sbd-two-disks": ("disk", sbd('by-id/one"', 'by-id/one;/dev/two"'), sbd('by-id/one"', 'by-id/one;/b;/c"'), ()),
}


def _sbd(watchdog_s):
    from kvmha.cluster.facts.records import Sbd

    return Sbd(devices=("/dev/one",), watchdog_s=watchdog_s, msgwait_s=24.0, delay_start_s=None)


__all__ = ["BREAKS", "conf"]
