"""For each rule about properties, guests, addresses, DRBD and hosts: a change that breaks it, and one that does not."""

from __future__ import annotations

from kvmha.policy.node import Definition, Unit
from tests.unit.cluster.lint.breaks_fencing import location, prop
from tests.unit.cluster.lint.breaks_ring import cib, fields
from tests.unit.cluster.lint.examples import UNITS, Change

DEFAULTS = '      <meta_attributes id="rsc-defaults">\n'


TRANSPORT = '"web1-transport" name="migration_transport" value="tls"'
GENTLE = (TRANSPORT, f'{TRANSPORT}/> <nvpair id="web1-schedule" name="migration_schedule" value="gentle"')
"""A schedule that never slows the guest down."""


def operation(guest, name, text):
    """Change an operation of a guest: what stands behind its name."""
    values = {
        "start": 'interval="0s" timeout="90s"',
        "stop": 'interval="0s" timeout="90s"',
        "monitor": 'interval="10s" timeout="30s"',
        "migrate_to": 'interval="0s" timeout="120s"',
        "migrate_from": 'interval="0s" timeout="60s"',
    }
    return (f'id="{guest}-{name}" name="{name}" {values[name]}', f'id="{guest}-{name}" name="{name}" {text}')


def op(guest, name, text):
    return Change(cib=(operation(guest, name, text),))


def parameter(guest, name, value):
    mark = f'          <nvpair id="{guest}-config"'
    return (mark, f'          <nvpair id="{guest}-{name}" name="{name}" value="{value}"/>\n{mark}')


def meta(guest, name, value):
    mark = f'          <nvpair id="{guest}-priority"'
    return cib(mark, f'          <nvpair id="{guest}-{name}" name="{name}" value="{value}"/>\n{mark}')


def guest(name="web1", **values):
    """Change what is known of a guest beside the CIB."""

    def changed(found):
        return found.replace(guests=tuple(g.replace(**values) if g.id == name else g for g in found.guests))

    return Change(facts=changed)


def memory(**sizes):
    def changed(found):
        return found.replace(node_memory={**found.node_memory, **sizes})

    return Change(facts=changed)


def definitions(**first):
    """Change what n2 says of the definition of web1."""
    known = {
        "path": "/etc/kvmha/guests/web1.xml",
        "name": "web1",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "memory_mib": 2048,
        "digest": "web1-digest",
    }
    second = Definition(path="/etc/kvmha/guests/web2.xml", name="web2", memory_mib=2048, digest="web2-digest",
                        uuid="00000000-0000-0000-0000-000000000002")  # fmt: skip
    return fields(definitions=(Definition(**{**known, **first}), second))


def units(*more, without=()):
    names = {unit.name for unit in more} | set(without)
    return fields(units=(*(unit for unit in UNITS if unit.name not in names), *more))


def drbd(old, new):
    return Change(drbd=((old, new),))


def booth(old, new):
    return Change(booth=((old, new),))


def unit(name, **values):
    return Unit(name=name, is_installed=True, **values)


PACEMAKER = {"is_enabled": True, "after": ("libvirtd.service",), "stop_timeout_s": 1800.0}
STANDBY = '<instance_attributes id="s"><nvpair id="s3" name="standby" value="{}"/></instance_attributes>'
LEFT = '    <constraints>\n      <rsc_location id="{}web1" rsc="web1" node="n2" score="INFINITY"/>\n'
SECOND_VIP = (
    "    </resources>\n",
    '      <primitive id="vip2" class="ocf" provider="kvmha" type="FloatingIP">\n'
    '        <instance_attributes id="vip2-ia"><nvpair id="vip2-ip" name="ip" value="{}"/></instance_attributes>\n'
    '        <operations><op id="vip2-m" name="monitor" interval="10s" timeout="20s"/></operations>\n'
    "      </primitive>\n    </resources>\n",
)


def second_vip(ip):
    return cib(SECOND_VIP[0], SECOND_VIP[1].format(ip))


BREAKS = {
    "maintenance-mode": ("three", prop("maintenance-mode", "true"), prop("maintenance-mode", "false"), ()),
    "stop-all": ("three", prop("stop-all-resources", "true"), prop("stop-all-resources", "false"), ()),
    "no-probes": ("three", prop("enable-startup-probes", "false"), prop("enable-startup-probes", "true"), ()),
    "migration-limit": (
        "three",
        cib('name="migration-limit" value="2"', 'name="migration-limit" value="-1"'),
        cib('name="migration-limit" value="2"', 'name="migration-limit" value="1"'),
        (),
    ),
    "start-fatal": (
        "three",
        cib('is-fatal" value="false"', 'is-fatal" value="true"'),
        cib('is-fatal" value="false"', 'is-fatal" value="no"'),
        (),
    ),
    "threshold-missing": (
        "three",
        cib('threshold" value="3"', 'threshold" value="INFINITY"'),
        cib('threshold" value="3"', 'threshold" value="1"'),
        (),
    ),
    "failure-timeout": (
        "three",
        cib('failure-timeout" value="600s"', 'failure-timeout" value="0"'),
        cib('value="600s"', 'value="1h"'),
        (),
    ),
    "stickiness": (
        "three",
        cib('stickiness" value="1000"', 'stickiness" value="100"'),
        cib('stickiness" value="1000"', 'stickiness" value="101"'),
        (),
    ),
    "load-threshold": ("three", cib('value="1000%"', 'value="80%"'), cib('value="1000%"', 'value="101%"'), ()),
    "dc-deadtime": ("three", prop("dc-deadtime", "6s"), prop("dc-deadtime", "7s"), ()),
    "shutdown-lock": ("three", prop("shutdown-lock", "true"), prop("shutdown-lock", "false"), ()),
    "node-standby": (
        "three",
        cib('uname="n3"/>', f'uname="n3">{STANDBY.format("on")}</node>'),
        cib('uname="n3"/>', f'uname="n3">{STANDBY.format("off")}</node>'),
        (),
    ),
    "recheck-off": ("three", prop("cluster-recheck-interval", "0"), prop("cluster-recheck-interval", "5min"), ()),
    # Two guests at a time: migrate_to 120 s and stop 90 s.
    "shutdown-escalation": ("three", prop("shutdown-escalation", "209s"), prop("shutdown-escalation", "210s"), ()),
    "pacemaker-stop-limit": (
        "three",
        units(unit("pacemaker.service", **{**PACEMAKER, "stop_timeout_s": 209.0})),
        units(unit("pacemaker.service", **{**PACEMAKER, "stop_timeout_s": 210.0})),
        (),
    ),
    "timeout-unset": (
        "three",
        op("web1", "migrate_from", 'interval="0s"'),
        Change(
            cib=(
                operation("web1", "migrate_from", 'interval="0s"'),
                (
                    "    <rsc_defaults>\n",
                    '    <op_defaults><meta_attributes id="op-defaults"><nvpair id="op-defaults-timeout" '
                    'name="timeout" value="60s"/></meta_attributes></op_defaults>\n    <rsc_defaults>\n',
                ),
            )
        ),
        (),
    ),
    "stop-timeout": (
        "three",
        op("web1", "stop", 'interval="0s" timeout="89s"'),
        op("web1", "stop", 'interval="0s" timeout="90s"'),
        (),
    ),
    # 60 + 2048 / 1024 s.
    "start-timeout": (
        "three",
        op("web1", "start", 'interval="0s" timeout="61s"'),
        op("web1", "start", 'interval="0s" timeout="62s"'),
        (),
    ),
    # 15 + 15 + twice 4096 MiB at half of 110 MiB/s = 179 s.
    "migrate-timeout": (
        "three",
        guest(memory_mib=4096),
        Change(
            cib=(operation("web1", "migrate_to", 'interval="0s" timeout="179s"'),), facts=guest(memory_mib=4096).facts
        ),
        (),
    ),
    "arrive-timeout": (
        "three",
        op("web1", "migrate_from", 'interval="0s" timeout="59s"'),
        op("web1", "migrate_from", 'interval="0s" timeout="60s"'),
        (),
    ),
    "monitor-missing": (
        "three",
        op("web1", "monitor", 'interval="0"'),
        op("web1", "monitor", 'interval="20s" timeout="30s"'),
        (),
    ),
    "monitor-slow": (
        "three",
        op("web1", "monitor", 'interval="61s" timeout="30s"'),
        op("web1", "monitor", 'interval="60s" timeout="30s"'),
        (),
    ),
    "monitor-timeout": (
        "three",
        op("web1", "monitor", 'interval="10s" timeout="9s"'),
        op("web1", "monitor", 'interval="10s" timeout="10s"'),
        (),
    ),
    "stop-on-fail": (
        "three",
        op("web1", "stop", 'interval="0s" timeout="90s" on-fail="ignore"'),
        op("web1", "stop", 'interval="0s" timeout="90s" on-fail="fence"'),
        (),
    ),
    "on-fail-idle": (
        "three",
        op("web1", "monitor", 'interval="10s" timeout="30s" on-fail="block"'),
        op("web1", "monitor", 'interval="10s" timeout="30s" on-fail="restart"'),
        (),
    ),
    "guest-immovable": (
        "three",
        cib('          <nvpair id="web1-allow-migrate" name="allow-migrate" value="true"/>\n', ""),
        cib(
            'id="web1-allow-migrate" name="allow-migrate" value="true"',
            'id="web1-allow-migrate" name="allow-migrate" value="no"',
        ),
        (),
    ),
    "guest-unmanaged": ("three", meta("web1", "is-managed", "false"), meta("web1", "is-managed", "true"), ()),
    "same-guest": (
        "three",
        cib(
            '"web2-config" name="config" value="/etc/kvmha/guests/web2.xml"',
            '"web2-config" name="config" value="/etc/kvmha/guests/web1.xml"',
        ),
        None,
        (),
    ),
    "same-uuid": ("three", definitions(uuid="00000000-0000-0000-0000-000000000002"), definitions(), ()),
    "definition": ("three", definitions(digest="another"), definitions(), ()),
    "autostart": ("three", fields(autostarted=("web1",)), fields(autostarted=("router",)), ()),
    "migration-network": (
        "three",
        cib('          <nvpair id="web1-suffix" name="migration_network_suffix" value="-mig"/>\n', ""),
        cib(
            '"web1-suffix" name="migration_network_suffix" value="-mig"',
            '"web1-suffix" name="migrateuri" value="tcp://%n-mig"',
        ),
        (),
    ),
    "migration-on-link": (
        "three",
        Change(cib=(parameter("web1", "migrateuri", "tcp://10.77.0.200:49152"),)),
        Change(cib=(parameter("web1", "migrateuri", "tcp://10.77.5.12:49152"),)),
        (),
    ),
    "migration-clear": (
        "three",
        cib(
            '"web1-transport" name="migration_transport" value="tls"',
            '"web1-transport" name="migration_transport" value="tcp"',
        ),
        cib(
            '"web1-transport" name="migration_transport" value="tls"',
            '"web1-transport" name="migration_transport" value="ssh"',
        ),
        (),
    ),
    # Two moves at once share 110 MiB/s, and 0.8 of 55 is 44 MiB/s; the time that it takes then is long in itself.
    "migration-endless": (
        "three",
        Change(
            cib=(operation("web1", "migrate_to", 'interval="0s" timeout="300s"'), GENTLE),
            facts=guest(memory_mib=2048, dirty_mib_s=45.0).facts,
        ),
        Change(
            cib=(operation("web1", "migrate_to", 'interval="0s" timeout="300s"'), GENTLE),
            facts=guest(memory_mib=2048, dirty_mib_s=44.0).facts,
        ),
        (),
    ),
    "leftover-move": (
        "three",
        cib("    <constraints>\n", LEFT.format("cli-prefer-")),
        None,
        # A preference without end outweighs what holds a guest where it is.
        ("stickiness",),
    ),
    "guest-too-large": (
        "three",
        Change(facts=lambda found: _sizes(found, 16385)),
        Change(facts=lambda found: _sizes(found, 16384)),
        ("no-spare",),
    ),
    # 3 x 2000 MiB, two guests of 2048 MiB and so none fits; with n3 of 4096 MiB both do as long as n3 is there.
    "no-spare": ("three", memory(n1=2048, n2=2048, n3=1024), memory(n1=2048, n2=2048, n3=2048), ()),
    "same-address": ("three", second_vip("10.77.0.100"), second_vip("10.77.0.101"), ()),
    "address-of-node": ("three", second_vip("10.77.0.12"), second_vip("10.77.0.102"), ()),
    "address-order": (
        "three",
        cib('      <rsc_order id="web1-then-vip" first="web1" then="vip" kind="Mandatory"/>\n', ""),
        None,
        (),
    ),
    "address-unwatched": (
        "three",
        cib('id="vip-monitor" name="monitor" interval="10s"', 'id="vip-monitor" name="monitor" interval="0"'),
        cib('id="vip-monitor" name="monitor" interval="10s"', 'id="vip-monitor" name="monitor" interval="30s"'),
        (),
    ),
    # Without a policy there is no use for its handlers, and they do no harm.
    "drbd-fencing": ("drbd", drbd("        fencing resource-and-stonith;\n", ""), None, ()),
    "drbd-handlers": (
        "drbd",
        drbd('        unfence-peer "/usr/lib/kvmha/drbd-unfence-peer";\n', ""),
        drbd("unfence-peer", "after-resync-target"),
        (),
    ),
    "drbd-two-primaries": (
        "drbd",
        drbd("protocol C;", "protocol C; allow-two-primaries yes;"),
        drbd("protocol C;", "protocol C; allow-two-primaries no;"),
        (),
    ),
    "drbd-promoted-max": (
        "drbd",
        cib(
            'name="notify" value="true"/>',
            'name="notify" value="true"/><nvpair id="pm" name="promoted-max" value="2"/>',
        ),
        cib(
            'name="notify" value="true"/>',
            'name="notify" value="true"/><nvpair id="pm" name="promoted-max" value="1"/>',
        ),
        (),
    ),
    "drbd-notify": ("drbd", cib('name="notify" value="true"', 'name="notify" value="false"'), None, ()),
    "drbd-no-clone": (
        "drbd",
        Change(
            cib=(
                ('      <clone id="drbd-r1-clone">', '      <group id="drbd-r1-clone">'),
                ("      </clone>", "      </group>"),
            )
        ),
        None,
        (),
    ),
    "drbd-after-split": (
        "drbd",
        drbd("protocol C;", "protocol C; after-sb-1pri discard-secondary;"),
        drbd("protocol C;", "protocol C; after-sb-1pri consensus;"),
        (),
    ),
    "drbd-ping": ("drbd", drbd("timeout 60;", "timeout 101;"), drbd("timeout 60;", "timeout 100;"), ()),
    "drbd-ping-short": ("drbd", drbd("ping-timeout 5", "ping-timeout 2"), drbd("ping-timeout 5", "ping-timeout 3"), ()),
    "drbd-protocol": ("drbd", drbd("protocol C", "protocol A"), drbd("        protocol C;\n", ""), ()),
    "drbd-io-error": ("drbd", drbd("on-io-error detach", "on-io-error pass_on"), drbd("on-io-error detach;", ""), ()),
    "drbd-quorum": (
        "drbd",
        drbd("    on n2 {", "    on n3 { address 10.77.1.13:7790; }\n    on n2 {"),
        drbd("    on n2 {", "    options { quorum majority; }\n    on n3 { address 10.77.1.13:7790; }\n    on n2 {"),
        (),
    ),
    "drbd-verify": ("drbd", drbd("        verify-alg sha256;\n", ""), drbd("sha256", "crc32c"), ()),
    # DRBD notices after 10.5 s, corosync after 6.6 s; the handler takes 10 s.
    "drbd-promote-time": (
        "drbd",
        cib(
            'id="primary-r1-start" name="start" interval="0s" timeout="100s"',
            'id="primary-r1-start" name="start" interval="0s" timeout="20s"',
        ),
        cib(
            'id="primary-r1-start" name="start" interval="0s" timeout="100s"',
            'id="primary-r1-start" name="start" interval="0s" timeout="21s"',
        ),
        (),
    ),
    "drbd-loose": (
        "drbd",
        cib('rsc="primary-r1" with-rsc="drbd-r1-clone"', 'rsc="primary-r1" with-rsc="web2"'),
        None,
        (),
    ),
    # 3 + delay 5 + 49 of fence_ipmilan; 3 + 90 of the stop of web2.
    "ticket-overlap": (
        "ticket",
        booth("acquire-after = 2m", "acquire-after = 92"),
        booth("acquire-after = 2m", "acquire-after = 93"),
        (),
    ),
    # 10 x (5 + 1) = 60 s.
    "ticket-retries": ("ticket", booth("expire = 300", "expire = 120"), booth("expire = 300", "expire = 122"), ()),
    "ticket-voters": ("ticket", booth("arbitrator = 203.0.113.1", ""), None, ()),
    "ticket-unknown": ("ticket", booth('"t2"', '"t3"'), None, ()),
    "clock": ("three", fields(is_clock_synchronised=False), fields(is_clock_synchronised=True), ()),
    "power-key": ("three", fields(power_key="poweroff"), fields(power_key="ignore"), ()),
    "libvirt-guests": (
        "three",
        units(unit("libvirt-guests.service", is_enabled=True)),
        units(unit("libvirt-guests.service")),
        (),
    ),
    "shutdown-order": (
        "three",
        units(unit("pacemaker.service", **{**PACEMAKER, "after": ("corosync.service",)})),
        units(unit("pacemaker.service", **PACEMAKER)),
        (),
    ),
    "cluster-not-enabled": (
        "three",
        units(unit("corosync.service", is_enabled=False)),
        units(unit("corosync.service", is_enabled=True)),
        (),
    ),
    "two-libvirts": (
        "three",
        units(
            unit("virtqemud.service", is_enabled=True),
            unit("pacemaker.service", **{**PACEMAKER, "after": ("libvirtd.service", "virtqemud.service")}),
        ),
        units(
            unit("virtqemud.service", is_enabled=False),
            unit("pacemaker.service", **{**PACEMAKER, "after": ("libvirtd.service", "virtqemud.service")}),
        ),
        (),
    ),
    "recovery-limit": ("three", guest(recovery_limit_s=9.0, boot_s=5.0), guest(recovery_limit_s=60.0, boot_s=5.0), ()),
}


def _sizes(found, size):
    """Let one guest be of this size, with time for all that it does, and the other one small."""
    sizes = {"web1": size, "web2": 1024}
    roomy = found.replace(bandwidth_mib_s=100_000.0)
    return roomy.replace(guests=tuple(each.replace(memory_mib=sizes[each.id]) for each in found.guests))


__all__ = ["BREAKS", "location"]
