"""The command kvmha: find the verb, run it, and turn its errors into a sentence and an exit code.

A verb is a module of this package, named after it. Its ``add(subparsers)`` makes the parser, which names by
``set_defaults(handler=...)`` the function ``handler(args, host) -> int`` that does the work; the verbs below
a verb do the same with handlers of their own. What a handler returns is the exit code.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys

import kvmha
from kvmha.errors import UserError
from kvmha.host import SIGPIPE, CommandError, CommandMissing, Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

VERBS = (
    "adopt", "cluster", "decisions", "double-run", "drain", "drbd", "drill", "fence", "install-agents", "lab",
    "migrate", "preflight", "quorum", "replay", "rto", "status", "survivor", "undrain", "whatif",
)  # fmt: skip

FAILED, BAD_INPUT, INTERRUPTED, NO_READER = 1, 2, 130, 128 + SIGPIPE

# What the machine refuses whoever asks; any other OSError is a mistake of ours and keeps its traceback.
REFUSALS = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS)

# The module that is imported, its name for pip, and its package in Debian.
LIBRARIES = {
    "jinja2": ("Jinja2", "python3-jinja2"),
    "libvirt": ("libvirt-python", "python3-libvirt"),
    "lxml": ("lxml", "python3-lxml"),
    "psutil": ("psutil", "python3-psutil"),
    "rich": ("rich", "python3-rich"),
    "yaml": ("PyYAML", "python3-yaml"),
}


def main(argv: list[str] | None = None, host: Host | None = None) -> int:
    """Run the command line and return its exit code; argparse leaves by SystemExit on its own account."""
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv, host or Host())
        finally:
            # If the reader has gone, what is still buffered must find that out here.
            sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on, as with kvmha ... | head. The interpreter's last flush must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(words: list[str], host: Host) -> int:
    try:
        args = _parser(words).parse_args(words)
        code: int = args.handler(args, host)
        return code
    except UserError as error:
        return _say(str(error), BAD_INPUT)
    except CommandMissing as error:
        return _say(f"{error}; install it and try again", BAD_INPUT)
    except CommandError as error:
        return _say(str(error), FAILED)
    except ModuleNotFoundError as error:
        library = LIBRARIES.get((error.name or "").partition(".")[0])
        if library is None:
            raise
        pip, debian = library
        return _say(f"Python has no {error.name}: apt install {debian}, or pip install {pip}", BAD_INPUT)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return _say(f"{error.filename or 'a file'}: {error.strerror}", FAILED)


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, and not the usage before it; its verbs' parsers do the same."""

    def error(self, message: str) -> NoReturn:
        """Leave with the exit code for bad input."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}; {self.prog} --help tells what there is\n")


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = Parser(prog="kvmha", description=kvmha.__doc__)
    parser.add_argument("--version", action="version", version=f"kvmha {kvmha.__version__}")
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    # Only the verb that is asked for is imported; to list or refuse one, argparse must know them all.
    for verb in [verb for verb in VERBS if words[:1] == [verb]] or VERBS:
        importlib.import_module(f"kvmha.cli.{verb.replace('-', '_')}").add(subparsers)
    return parser


def _say(sentence: str, code: int) -> int:
    print(f"kvmha: {sentence}", file=sys.stderr)
    return code
