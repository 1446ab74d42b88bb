"""A call of an agent, read from what Pacemaker and people really pass."""

from __future__ import annotations

import pytest

from kvmha.ocf.env import OcfEnv

# The environment of a recurring monitor as Pacemaker 2.1's executor sets it up.
PACEMAKER = {
    "PATH": "/sbin:/bin",
    "OCF_RA_VERSION_MAJOR": "1",
    "OCF_RA_VERSION_MINOR": "1",
    "OCF_ROOT": "/usr/lib/ocf",
    "OCF_EXIT_REASON_PREFIX": "ocf-exit-reason:",
    "OCF_RESOURCE_INSTANCE": "web1",
    "OCF_RESOURCE_TYPE": "VirtualDomain",
    "OCF_RESOURCE_PROVIDER": "kvmha",
    "OCF_RESKEY_config": "/etc/kvmha/guests/web1.xml",
    "OCF_RESKEY_migration_transport": "tcp",
    "OCF_RESKEY_crm_feature_set": "3.16.2",
    "OCF_RESKEY_CRM_meta_interval": "10000",
    "OCF_RESKEY_CRM_meta_timeout": "30000",
    "OCF_RESKEY_CRM_meta_on_node": "n1",
    "OCF_RESKEY_CRM_meta_name": "monitor",
}


def test_a_monitor_of_pacemaker_is_read_whole():
    env = OcfEnv.from_environ(["monitor"], PACEMAKER)
    assert env == OcfEnv(
        action="monitor",
        instance="web1",
        params={"config": "/etc/kvmha/guests/web1.xml", "migration_transport": "tcp"},
        interval=10.0,
        timeout=30.0,
        node="n1",
        meta={"interval": "10000", "timeout": "30000", "on_node": "n1", "name": "monitor"},
    )
    assert not env.is_probe


def test_a_call_without_any_environment_is_complete():
    env = OcfEnv.from_environ(["stop"], {})
    assert env == OcfEnv(action="stop")
    assert (env.instance, env.params, env.timeout, env.interval) == ("default", {}, None, 0.0)


def test_no_action_is_an_empty_one():
    assert OcfEnv.from_environ([], {}).action == ""


def test_further_arguments_are_ignored():
    assert OcfEnv.from_environ(["monitor", "stop"], {}).action == "monitor"


@pytest.mark.parametrize(
    ("action", "interval", "is_probe"),
    [
        pytest.param("monitor", "0", True, id="interval-0"),
        pytest.param("monitor", None, True, id="no-interval"),
        pytest.param("monitor", "10000", False, id="recurring"),
        pytest.param("start", "0", False, id="start"),
    ],
)
def test_a_probe_is_a_monitor_without_an_interval(action, interval, is_probe):
    environ = {} if interval is None else {"OCF_RESKEY_CRM_meta_interval": interval}
    assert OcfEnv.from_environ([action], environ).is_probe is is_probe


@pytest.mark.parametrize("text", ["", "0", "20s", "-5", "x", "1e3", "\N{SUPERSCRIPT TWO}", "\udcff"])
def test_a_timeout_that_is_no_number_of_milliseconds_counts_as_not_given(text):
    assert OcfEnv.from_environ(["stop"], {"OCF_RESKEY_CRM_meta_timeout": text}).timeout is None


def test_both_ends_of_a_move_are_read():
    env = OcfEnv.from_environ(
        ["migrate_to"], {"OCF_RESKEY_CRM_meta_migrate_source": "n1", "OCF_RESKEY_CRM_meta_migrate_target": "n2"}
    )
    assert (env.migrate_source, env.migrate_target) == ("n1", "n2")


def test_the_check_level_is_read():
    assert OcfEnv.from_environ(["monitor"], {"OCF_CHECK_LEVEL": "10"}).check_level == 10
    assert OcfEnv.from_environ(["monitor"], {"OCF_CHECK_LEVEL": "deep"}).check_level == 0


def test_a_parameter_whose_name_only_resembles_the_clusters_own_is_kept():
    env = OcfEnv.from_environ(
        ["monitor"], {"OCF_RESKEY_crmsh": "1", "OCF_RESKEY_CRM_meta_clone": "0", "OCF_RESKEY_": "x"}
    )
    assert env.params == {"crmsh": "1", "": "x"}


def test_what_is_told_of_a_clone_and_of_a_notification_is_read():
    env = OcfEnv.from_environ(
        ["notify"],
        {
            "OCF_RESKEY_CRM_meta_clone_max": "2",
            "OCF_RESKEY_CRM_meta_notify_type": "pre",
            "OCF_RESKEY_CRM_meta_notify_operation": "promote",
            "OCF_RESKEY_CRM_meta_notify_promote_uname": "n1 n2 ",
        },
    )
    assert env.notification == "pre-promote"
    assert (env.notified("promote"), env.notified("stop")) == (("n1", "n2"), ())
    assert env.params == {}


@pytest.mark.parametrize(
    ("meta", "is_plain"),
    [
        pytest.param({}, False, id="by-hand"),
        pytest.param({"clone_max": "2"}, True, id="plain"),
        pytest.param({"clone_max": "2", "promoted_max": "1"}, False, id="promotable"),
        pytest.param({"clone_max": "2", "master_max": "1"}, False, id="promotable-before-2.1"),
    ],
)
def test_a_plain_clone_is_told_from_a_promotable_one(meta, is_plain):
    environ = {f"OCF_RESKEY_CRM_meta_{name}": value for name, value in meta.items()}
    assert OcfEnv.from_environ(["monitor"], environ).is_plain_clone is is_plain
