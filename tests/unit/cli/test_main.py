"""The command kvmha: what it prints, and with which code it leaves."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen, run

import pytest

import kvmha
from kvmha.cli import install_agents
from kvmha.cli.main import main
from kvmha.errors import UserError
from kvmha.host import CommandError, CommandMissing, CommandTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_mock import MockerFixture


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        pytest.param(UserError("no lab is named x"), 2, "no lab is named x", id="user-error"),
        pytest.param(
            CommandMissing(("pcs",), "is not installed"),
            2,
            "pcs is not installed; install it and try again",
            id="command-missing",
        ),
        pytest.param(CommandTimeout(("/sbin/pcs",), "did not end"), 1, "pcs did not end", id="command-timeout"),
        pytest.param(CommandError(("virsh",), "exited with 1: no"), 1, "virsh exited with 1: no", id="command-failed"),
        pytest.param(
            ModuleNotFoundError("no", name="jinja2.loaders"),
            2,
            "Python has no jinja2.loaders: apt install python3-jinja2, or pip install Jinja2",
            id="library-missing",
        ),
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device", "/var/x"),
            1,
            "/var/x: No space left on device",
            id="disk-full",
        ),
    ],
)
def test_an_error_becomes_one_sentence_and_its_code(
    error: Exception, code: int, sentence: str, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    # add() looks the handler up when it runs, so that the verb does whatever stands here.
    mocker.patch.object(install_agents, "handler", side_effect=error)
    assert main(["install-agents"]) == code
    assert capsys.readouterr().err == f"kvmha: {sentence}\n"


def test_ctrl_c_leaves_without_a_word(mocker: MockerFixture, capsys: pytest.CaptureFixture[str]) -> None:
    mocker.patch.object(install_agents, "handler", side_effect=KeyboardInterrupt)
    assert main(["install-agents"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ModuleNotFoundError("no", name="kvmha.policy.typo"), id="module-of-ours"),
        pytest.param(FileNotFoundError(errno.ENOENT, "no", "x"), id="file"),
        pytest.param(KeyError("x"), id="key"),
    ],
)
def test_a_mistake_of_ours_keeps_its_traceback(error: Exception, mocker: MockerFixture) -> None:
    mocker.patch.object(install_agents, "handler", side_effect=error)
    with pytest.raises(type(error)):
        main(["install-agents"])


def test_the_handlers_code_is_the_exit_code(mocker: MockerFixture) -> None:
    mocker.patch.object(install_agents, "handler", return_value=7)
    assert main(["install-agents"]) == 7


@pytest.mark.parametrize("words", [["quorum", "--qdevice-alive", "maybe"], ["replay"], ["drbd", "nonsense"], []])
def test_words_that_make_no_sense_are_told_in_one_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    err = capsys.readouterr().err
    assert (left.value.code, err.count("\n")) == (2, 1), err


def test_an_unknown_verb_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["instal-agents"])
    assert leaving.value.code == 2
    assert "invalid choice: 'instal-agents'" in capsys.readouterr().err


def test_the_checkout_runs_as_a_module(checkout: Path) -> None:
    done = run([sys.executable, "-m", "kvmha", "--version"], cwd=checkout, capture_output=True, text=True, check=True)
    assert done.stdout == f"kvmha {kvmha.__version__}\n"


def test_a_verb_is_imported_only_when_it_is_asked_for(checkout: Path) -> None:
    code = (
        "import sys; from kvmha.cli.main import _parser; _parser(['install-agents', '--remove']); "
        "print({'kvmha.cli.lab', 'kvmha.cli.cluster', 'jinja2', 'yaml'} & {*sys.modules})"
    )
    done = run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "words",
    [pytest.param(["--help"], id="argparse"), pytest.param(["install-agents", "--root", "."], id="verb")],
)
def test_a_reader_that_leaves_early_costs_no_traceback(words: list[str], checkout: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "kvmha", *words]
    # Buffered, as it is for people: the pipe is found broken only at the end.
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    plain["PYTHONPATH"] = str(checkout)
    with Popen(command, cwd=tmp_path, env=plain, stdout=writer, stderr=PIPE, text=True) as asked:
        os.close(writer)
        assert asked.stderr is not None
        said = asked.stderr.read()
    assert said == ""
    assert asked.returncode == 141
