"""The frame below every agent: exit codes, exit reasons and time."""

from __future__ import annotations

import os
import posix

import pytest

from kvmha.host import CommandFailed, CommandMissing, CommandTimeout, Completed
from kvmha.ocf import agent as frame
from kvmha.ocf import codes
from kvmha.ocf.agent import Agent, OcfError, perform
from kvmha.ocf.env import OcfEnv
from kvmha.ocf.report import REASON_LIMIT, Report
from kvmha.ocf.spec import Action, Param
from tests.fakes import FakeHost

LENIENT = ("stop", "monitor", "demote", "notify")


class Sample(Agent):
    """An agent whose actions do what a test tells them."""

    name = "Sample"
    shortdesc = "A sample"
    longdesc = "A sample of an agent."
    params = (
        Param(name="which", shortdesc="Which", longdesc="Which one.", required=True, identity=True),
        Param(name="count", shortdesc="Count", longdesc="How many.", kind="integer", default="3", minimum=1),
    )
    actions = tuple(
        Action(name=name, timeout=40)
        for name in ("start", "promote", "migrate_to", "migrate_from", "reload-agent", "validate-all", *LENIENT)
    )

    act = staticmethod(lambda agent: codes.SUCCESS)

    def _do(self) -> int:
        return type(self).act(self)

    start = stop = monitor = promote = demote = notify = migrate_to = migrate_from = reload_agent = validate_all = _do


def call(action, act=lambda agent: codes.SUCCESS, params=None, **env):
    """Perform one action and return its exit code."""
    given = {"which": "it"} if params is None else params
    cls = type("Sample", (Sample,), {"act": staticmethod(act)})
    return perform(cls, OcfEnv(action=action, params=given, **env), FakeHost())


def failing(error):
    def act(agent):
        raise error

    return act


def reasons(capfd):
    """Return the exit reasons as Pacemaker would find them: behind the prefix, to the end of the line."""
    lines = capfd.readouterr().err.splitlines()
    return [line[len("ocf-exit-reason:") :] for line in lines if line.startswith("ocf-exit-reason:")]


# ---------------------------------------------------------------------- actions


@pytest.mark.parametrize(
    "action", ["", "status", "usage", "Start", "_do", "param", "__init__", "reload_agent", "validate_all"]
)
def test_an_action_that_the_table_lacks_is_unimplemented_even_if_a_method_has_its_name(action, capfd):
    assert call(action) == codes.ERR_UNIMPLEMENTED
    assert reasons(capfd)[0].startswith(f'action "{action}" is not implemented; there are demote, migrate_from, ')


def test_an_unknown_action_needs_no_parameters(capfd):
    assert call("usage", params={}) == codes.ERR_UNIMPLEMENTED


@pytest.mark.parametrize("code", [0, 1, 7, 8, 9, 190, 191])
def test_the_code_of_an_action_is_the_code_of_the_agent(code, capfd):
    assert call("monitor", lambda agent: code) == code
    assert reasons(capfd) == []


def test_an_action_with_a_dash_is_the_method_with_an_underscore():
    assert call("validate-all") == codes.SUCCESS


# ------------------------------------------------------------------- parameters


@pytest.mark.parametrize("action", frame.STRICT)
@pytest.mark.parametrize(
    ("params", "said"),
    [
        pytest.param({"which": "it", "count": "many"}, 'count="many" is not a whole number of at least 1', id="wrong"),
        pytest.param({}, "which is not set", id="missing"),
        pytest.param({"count": "0"}, 'which is not set; count="0" is not a whole number of at least 1', id="both"),
    ],
)
def test_a_strict_action_fails_on_wrong_parameters_and_does_nothing(action, params, said, capfd):
    assert call(action, failing(AssertionError("it was run")), params) == codes.ERR_CONFIGURED
    assert reasons(capfd) == [said]


@pytest.mark.parametrize("action", LENIENT)
@pytest.mark.parametrize(
    "params", [{"which": "it", "count": "many"}, {}, {"count": "0"}], ids=["wrong", "missing", "both"]
)
def test_a_lenient_action_runs_with_the_default_in_place_of_a_wrong_value(action, params, capfd):
    assert call(action, lambda agent: codes.SUCCESS if agent.param("count") == 3 else 99, params) == codes.SUCCESS
    assert reasons(capfd) == []


# ----------------------------------------------------------------------- errors


def test_an_outcome_that_is_understood_keeps_its_code_and_reason(capfd):
    assert call("stop", failing(OcfError(codes.ERR_CONFIGURED, "web1 is odd"))) == codes.ERR_CONFIGURED
    assert reasons(capfd) == ["web1 is odd"]


@pytest.mark.parametrize("action", frame.STRICT)
def test_a_missing_program_is_a_fact_of_the_installation_before_a_start(action, capfd):
    assert call(action, failing(CommandMissing(("ip",), "is not installed"))) == codes.ERR_INSTALLED
    assert reasons(capfd) == [f"{action}: ip is not installed"]


@pytest.mark.parametrize("action", LENIENT)
@pytest.mark.parametrize("interval", [0.0, 10.0], ids=["probe", "recurring"])
def test_a_missing_program_means_not_knowing_in_stop_and_monitor(action, interval, capfd):
    code = call(action, failing(CommandMissing(("ip",), "is not installed")), interval=interval)
    assert code == codes.ERR_GENERIC
    assert reasons(capfd) == [f"{action}: ip is not installed"]


@pytest.mark.parametrize("action", ["start", "stop", "monitor"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            CommandTimeout(("/usr/bin/ip", "addr"), "did not end within 5 s"), "ip did not end within 5 s", id="timeout"
        ),
        pytest.param(
            CommandFailed(Completed(argv=("ip",), rc=2, out="", err="one\nRTNETLINK answers: File exists\n\n")),
            "ip exited with 2: RTNETLINK answers: File exists",
            id="failed",
        ),
        pytest.param(OSError(5, "Input/output error"), "[Errno 5] Input/output error", id="oserror"),
    ],
)
def test_a_tool_that_fails_is_a_failure_that_names_it(action, error, said, capfd):
    assert call(action, failing(error)) == codes.ERR_GENERIC
    assert reasons(capfd) == [f"{action}: {said}"]


@pytest.mark.parametrize(("uid", "code"), [(0, codes.ERR_GENERIC), (1000, codes.ERR_PERM)], ids=["root", "user"])
def test_missing_rights_are_told_to_whoever_lacks_them(uid, code, monkeypatch, capfd):
    monkeypatch.setattr("kvmha.ocf.agent.posix.geteuid", lambda: uid)
    assert call("start", failing(PermissionError(13, "Permission denied", "/run/kvmha"))) == code


def test_a_defect_is_not_mapped_to_an_outcome():
    with pytest.raises(ZeroDivisionError):
        call("stop", failing(ZeroDivisionError()))


# ----------------------------------------------------------------- exit reasons


def test_a_reason_is_one_line_of_less_than_two_hundred_characters(capfd):
    call("start", failing(OcfError(1, "first\nsecond\r\n\n third\t" + "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 400)))
    (reason,) = reasons(capfd)
    assert reason.startswith("first second third \u00fc")
    assert reason.endswith("...")
    assert len(reason) < 200
    assert REASON_LIMIT == 200


def test_a_reason_of_the_longest_length_is_not_cut(capfd):
    call("start", failing(OcfError(1, "x" * 199)))
    assert reasons(capfd) == ["x" * 199]


def test_the_reason_is_the_last_line_on_standard_error(capfd):
    def act(agent):
        os.write(2, b"a tool speaks\n")
        raise OcfError(1, "why")

    call("start", act)
    assert capfd.readouterr().err.splitlines() == ["a tool speaks", "ocf-exit-reason:why"]


def test_the_prefix_of_the_cluster_manager_is_used(capfd):
    call("start", failing(OcfError(1, "why")), exit_reason_prefix="reason=")
    assert capfd.readouterr().err == "reason=why\n"


def test_a_reason_holds_nothing_that_xml_cannot(capfd):
    # Pacemaker stores it as an attribute in the CIB; XML 1.0 has no way to write most control characters.
    call("start", failing(OcfError(1, "ip\x1b[31m said\x00 \x07no\x7f \udcff end")))
    (reason,) = reasons(capfd)
    assert reason.isprintable()
    assert reason.startswith("ip")
    assert reason.endswith("end")


def test_a_reason_that_cannot_be_said_does_not_change_the_code():
    saved, (read, write) = os.dup(2), os.pipe()
    os.close(read)
    os.dup2(write, 2)
    try:
        assert call("start", failing(OcfError(codes.ERR_CONFIGURED, "why"))) == codes.ERR_CONFIGURED
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(write)


def test_a_degraded_service_is_reported_with_its_reason(capfd):
    assert call("monitor", lambda agent: agent.degraded("libvirt is away")) == codes.DEGRADED
    assert reasons(capfd) == ["libvirt is away"]


def test_a_report_is_a_plain_value():
    assert Report(agent="Sample", instance="x") == Report(agent="Sample", instance="x")


# ------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("timeout", "left"),
    [
        pytest.param(90.0, 88.0, id="long"),
        pytest.param(20.0, 19.0, id="pacemakers-default"),
        pytest.param(None, 38.0, id="from-the-table"),
        pytest.param(1.0, 0.95, id="short"),
    ],
)
def test_an_action_ends_before_pacemaker_ends_it(timeout, left):
    found = []
    call("stop", lambda agent: found.append((agent.left(), agent.left(10.0), agent.left(1000.0))) or 0, timeout=timeout)
    assert found == [pytest.approx((left, max(left - 10.0, 0.0), 0.0))]


def test_what_is_left_shrinks_with_the_clock_and_is_never_negative():
    def act(agent):
        agent.host.sleep(15)
        assert agent.left() == pytest.approx(4.0)
        agent.host.sleep(15)
        assert agent.left() == 0.0
        return 0

    assert call("stop", act, timeout=20.0) == 0


def test_the_environment_is_read_as_python_itself_reads_it(monkeypatch):
    monkeypatch.setitem(posix.environ, b"OCF_RESKEY_config", "/srv/gäste/".encode() + b"\xff.xml")
    read = frame._environ()
    assert {os.fsencode(name): os.fsencode(value) for name, value in read.items()} == posix.environ
