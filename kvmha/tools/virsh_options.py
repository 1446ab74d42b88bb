"""The options of ``virsh migrate``, as operators write them into ``migrate_options``, in libvirt's own terms.

The words and their meaning are those of virsh 9.0 to 11.3 (``virsh help migrate`` and virsh(1)); the flags and the
names of the parameters are libvirt's (include/libvirt/libvirt-domain.h: VIR_MIGRATE_*).
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAG, NUMBER, TEXT, LIST = "flag", "number", "text", "list"


class Option(Record):
    """One option that is taken."""

    kind: str = FLAG
    flags: tuple[str, ...] = ()
    """Names of libvirt's flags, without VIR_MIGRATE_."""
    parameter: str = ""
    """Name of libvirt's typed parameter."""
    lowest: int = 1
    highest: int = 2**31 - 1
    choices: tuple[str, ...] = ()
    needs: str = ""
    """Another option, without which libvirt refuses this one."""


class MigrateOptions(Record):
    """What the options ask for."""

    flags: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)
    """Numbers, texts and tuples of texts, by libvirt's name of the parameter."""


def _flag(*flags: str, needs: str = "") -> Option:
    return Option(flags=flags, needs=needs)


def _number(parameter: str, lowest: int = 1, highest: int = 2**31 - 1, needs: str = "") -> Option:
    return Option(kind=NUMBER, parameter=parameter, lowest=lowest, highest=highest, needs=needs)


def _text(parameter: str, needs: str = "") -> Option:
    return Option(kind=TEXT, parameter=parameter, needs=needs)


MIGRATE_URI = "migrate_uri"
BANDWIDTH = "bandwidth"

OPTIONS = {
    # Every move of ours is live, and virsh alone has a terminal to be verbose on.
    "--live": _flag(),
    "--verbose": _flag(),
    "--p2p": _flag("PEER2PEER"),
    "--tunnelled": _flag("PEER2PEER", "TUNNELLED"),
    "--persistent": _flag("PERSIST_DEST"),
    "--undefinesource": _flag("UNDEFINE_SOURCE"),
    "--change-protection": _flag("CHANGE_PROTECTION"),
    "--unsafe": _flag("UNSAFE"),
    "--abort-on-error": _flag("ABORT_ON_ERROR"),
    "--bandwidth": _number(BANDWIDTH),
    "--available-switchover-bandwidth": _number("bandwidth.avail.switchover"),
    "--auto-converge": _flag("AUTO_CONVERGE"),
    "--auto-converge-initial": _number("auto_converge.initial", 1, 99, needs="--auto-converge"),
    "--auto-converge-increment": _number("auto_converge.increment", 1, 99, needs="--auto-converge"),
    "--postcopy": _flag("POSTCOPY"),
    "--postcopy-bandwidth": _number("bandwidth.postcopy", needs="--postcopy"),
    "--parallel": _flag("PARALLEL"),
    "--parallel-connections": _number("parallel.connections", 1, 255, needs="--parallel"),
    "--zerocopy": _flag("ZEROCOPY", needs="--parallel"),
    "--compressed": _flag("COMPRESSED"),
    "--comp-methods": Option(kind=LIST, parameter="compression", choices=("mt", "xbzrle", "zlib", "zstd")),
    "--comp-mt-level": _number("compression.mt.level", 0, 9, needs="--comp-methods mt"),
    "--comp-mt-threads": _number("compression.mt.threads", 1, 255, needs="--comp-methods mt"),
    "--comp-mt-dthreads": _number("compression.mt.dthreads", 1, 255, needs="--comp-methods mt"),
    "--comp-xbzrle-cache": _number("compression.xbzrle.cache", highest=2**63 - 1, needs="--comp-methods xbzrle"),
    "--comp-zlib-level": _number("compression.zlib.level", 0, 9, needs="--comp-methods zlib"),
    "--comp-zstd-level": _number("compression.zstd.level", 0, 20, needs="--comp-methods zstd"),
    "--tls": _flag("TLS"),
    "--tls-destination": _text("tls.destination", needs="--tls"),
    "--rdma-pin-all": _flag("RDMA_PIN_ALL"),
    "--copy-storage-all": _flag("NON_SHARED_DISK"),
    "--copy-storage-inc": _flag("NON_SHARED_INC"),
    "--copy-storage-synchronous-writes": _flag("NON_SHARED_SYNCHRONOUS_WRITES"),
    "--migrate-disks": Option(kind=LIST, parameter="migrate_disks"),
    "--migrate-disks-detect-zeroes": Option(kind=LIST, parameter="migrate_disks_detect_zeroes"),
    "--disks-port": _number("disks_port", 1, 65535),
    "--disks-uri": _text("disks_uri"),
    "--listen-address": _text("listen_address"),
    "--graphicsuri": _text("graphics_uri"),
    "--migrateuri": _text(MIGRATE_URI),
}

_WHO = "the definition says who the guest is"
_WHEN = "the timeout of migrate_to bounds the move, which ends before it with the guest running"

REFUSED = {
    "--domain": "the cluster says which guest moves",
    "--desturi": "remoteuri says how the target is called",
    "--dname": _WHO,
    "--xml": _WHO,
    "--persistent-xml": _WHO,
    "--offline": "it moves no running guest",
    "--suspend": "the guest would stand still on the target",
    "--direct": "QEMU knows no direct migration; leave it out, or say --p2p",
    "--timeout": _WHEN,
    "--timeout-suspend": _WHEN,
    "--timeout-postcopy": _WHEN,
    "--postcopy-after-precopy": "it is virsh that switches over then, and not libvirt; --postcopy allows it",
    "--postcopy-resume": "it mends a failed move by hand, and belongs to none that begins",
}
"""Options that decide who moves or where to, or that would leave the guest otherwise than the cluster believes."""


def parse(text: str) -> tuple[MigrateOptions, list[str]]:
    """Return what a text of options asks for, and a sentence for each word that is wrong in it.

    The words are split as a shell does, quotes included. A value follows its option or stands behind a ``=``.
    """
    import shlex

    try:
        words = shlex.split(text)
    except ValueError as error:
        return MigrateOptions(), [f"cannot be split into words: {str(error).lower()}"]
    given, wrong = _pair(words)
    parameters: dict[str, Any] = {}
    flags: list[str] = []
    for name, value in given.items():
        option = OPTIONS[name]
        flags += [flag for flag in option.flags if flag not in flags]
        if option.kind != FLAG:
            try:
                parameters[option.parameter] = _value(name, option, value)
            except ValueError as error:
                wrong.append(str(error))
    wrong += [
        f"{name} needs {OPTIONS[name].needs}" for name in given if not _has(OPTIONS[name].needs, given, parameters)
    ]
    return MigrateOptions(flags=tuple(flags), parameters=parameters), wrong


def _pair(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the known options with their values, and a sentence for each word that is none."""
    given: dict[str, str] = {}
    wrong: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        option = OPTIONS.get(name)
        takes_value = option.kind != FLAG if option else name in _REFUSED_WITH_VALUE
        if takes_value and not equals and rest and not rest[0].startswith("--"):
            value, equals = rest.pop(0), "="
        if option is None:
            wrong.append(_why_not(name, word))
        elif option.kind == FLAG and equals:
            wrong.append(f"{name} takes no value")
        elif option.kind != FLAG and not value:
            wrong.append(f"{name} needs a value")
        elif name in given and option.kind != FLAG:
            wrong.append(f"{name} is there twice")
        else:
            given[name] = value
    return given, wrong


_REFUSED_WITH_VALUE = ("--domain", "--desturi", "--dname", "--xml", "--persistent-xml", "--timeout")


def _why_not(name: str, word: str) -> str:
    if name in REFUSED:
        return f"{name} is not taken: {REFUSED[name]}"
    if not name.startswith("--"):
        return f'"{word}" is no option'
    import difflib

    close = difflib.get_close_matches(name, OPTIONS, n=1)
    return f"{name} is no option of virsh migrate" + (f" (is it {close[0]}?)" if close else "")


def _value(name: str, option: Option, text: str) -> Any:
    if option.kind == TEXT:
        return text
    if option.kind == LIST:
        parts = tuple(part for part in text.split(",") if part)
        strange = [part for part in parts if option.choices and part not in option.choices]
        if strange or not parts:
            raise ValueError(f"{name}={text} is not of {', '.join(option.choices) or 'names separated by commas'}")
        return parts
    if not (text.isascii() and text.isdigit()) or not option.lowest <= int(text) <= option.highest:
        bound = f"from {option.lowest} to {option.highest}" if option.highest < 2**31 - 1 else f"of {option.lowest} on"
        raise ValueError(f"{name}={text} is not a whole number {bound}")
    return int(text)


def _has(need: str, given: dict[str, str], parameters: dict[str, Any]) -> bool:
    """Tell whether what an option needs is there: another option, with one of its values if that is named."""
    name, _, value = need.partition(" ")
    if not need or (not value and name in given):
        return True
    return bool(value) and value in parameters.get(OPTIONS[name].parameter, ())
