"""The verb install-agents: link pip's copy of the agents, their library and DRBD's handlers to where they are run from.

The agents run with the system's Python and without its search path (-IS), whatever Python pip put kvmha into.
They look for the library in OCF's tree: resource.d/kvmha/AGENT finds lib/kvmha/kvmha.
"""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import TYPE_CHECKING

import kvmha
from kvmha.errors import UserError

if TYPE_CHECKING:
    import argparse

    from kvmha.host import Host

LIBRARY = Path(kvmha.__file__).resolve().parent

HANDLERS = Path("usr/lib/kvmha")
"""Where DRBD's configuration names the handlers, below the root."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb to argparse."""
    parser = subparsers.add_parser(
        "install-agents",
        help="link the agents of a pip installation into OCF's tree",
        description="Link the agents and their library into OCF's tree, and DRBD's handlers to /usr/lib/kvmha, after "
        "pip install or in a checkout; the Debian package needs none of this. Links that are there already are left as "
        "they are.",
    )
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR",
                        help="work on the system in this folder, such as an image (default: /)")  # fmt: skip
    parser.add_argument("--ocf-root", type=Path, default=Path("/usr/lib/ocf"), metavar="DIR",
                        help="OCF's tree in that system (default: %(default)s)")  # fmt: skip
    parser.add_argument("--remove", action="store_true", help="remove the links")
    parser.set_defaults(handler=handler)


def handler(args: argparse.Namespace, host: Host) -> int:
    """Make or remove the links, all or none of them."""
    root = args.root.resolve()
    ocf = root / args.ocf_root.relative_to(args.ocf_root.anchor)
    try:
        return _remove(root, ocf) if args.remove else _install(root, ocf)
    except PermissionError as error:
        raise UserError(f"{error.filename} cannot be changed: run kvmha install-agents as root") from None


def _install(root: Path, ocf: Path) -> int:
    links = {ocf / "resource.d/kvmha" / agent.name: agent for agent in _shipped("agents")}
    links.update({root / HANDLERS / handler.name: handler for handler in _shipped("handlers")})
    links[ocf / "lib/kvmha/kvmha"] = LIBRARY
    _refuse_foreign(list(links))
    changed = 0
    for link, target in links.items():
        seen = Path("/", target.relative_to(root)) if root in target.parents else target
        if link.is_symlink() and Path(os.readlink(link)) == seen:
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        # A link cannot be rewritten in place; a cluster that asks for the agent meanwhile must find one.
        draft = link.with_name(f".{link.name}.new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(seen)
        draft.replace(link)
        print(f"{link} -> {seen}")
        changed += 1
    if not changed:
        print(f"{ocf}: all links are there")
    return 0


def _remove(root: Path, ocf: Path) -> int:
    folders = (ocf / "resource.d/kvmha", ocf / "lib/kvmha", root / HANDLERS)
    links = [link for folder in folders if folder.is_dir() for link in sorted(folder.iterdir())]
    _refuse_foreign(links)
    for link in links:
        link.unlink()
        print(f"{link} removed")
    for folder in folders:
        if folder.is_dir():
            folder.rmdir()
    if not links:
        print(f"{ocf}: no links are there")
    return 0


def _refuse_foreign(links: list[Path]) -> None:
    """Raise UserError, naming every path that is there and was not made by this verb."""
    foreign = [link for link in links if os.path.lexists(link) and not _is_ours(link)]
    if foreign:
        names = " and ".join(map(str, foreign))
        raise UserError(f"{names}: not made by kvmha install-agents; remove by hand or with its package")


def _is_ours(link: Path) -> bool:
    """Tell whether a path is a link that this verb made, be it for a kvmha in another place."""
    if not link.is_symlink():
        return False
    target = Path(os.readlink(link))
    kind = target.name == "kvmha" or target.parent.name in ("agents", "handlers")
    # Packages link relatively, and their links are theirs.
    return kind and target.name == link.name and target.is_absolute()


def _shipped(kind: str) -> list[Path]:
    """Return the agents, or the handlers, of this kvmha: beside the library in a checkout, else where pip put them."""
    folder = LIBRARY.parent / kind
    beside = sorted(folder.iterdir()) if (LIBRARY.parent / "setup.cfg").exists() else []
    found = beside or _recorded(kind)
    if not found:
        raise UserError(
            f"no {kind} came with the kvmha in {LIBRARY}: a Debian package has them in place already, "
            "a copy by hand lacks them; use pip install, or python3 -m kvmha in a checkout"
        )
    return found


def _recorded(kind: str) -> list[Path]:
    """Return what pip recorded for the library that runs now, whatever its prefix."""
    try:
        installed = importlib.metadata.distribution("kvmha")
    except importlib.metadata.PackageNotFoundError:
        return []
    if Path(str(installed.locate_file("kvmha"))).resolve() != LIBRARY:
        return []
    recorded = [file for file in installed.files or () if file.parts[-4:-1] == ("share", "kvmha", kind)]
    paths = sorted(Path(str(installed.locate_file(file))).resolve() for file in recorded)
    # A distribution's package has moved what pip's record still names.
    return [path for path in paths if path.exists()]
