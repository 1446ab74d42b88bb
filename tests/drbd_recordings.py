"""What real DRBD said, as it lies in tests/contract/recorded/drbd; the README.md there tells how it was made."""

from __future__ import annotations

from pathlib import Path

RECORDED = Path(__file__).parent / "contract" / "recorded" / "drbd"
VERSIONS = sorted(folder.name for folder in RECORDED.iterdir() if folder.is_dir())


def recorded(version: str, case: str, name: str = "events2") -> str:
    """Return what the command of that name printed in that case, nothing where it was not tried."""
    text = (RECORDED / version / f"{case}.txt").read_text()
    _, _, rest = f"\n{text}".partition(f"\n==> {name}: ")
    _command, _, printed = rest.partition("\n")
    return printed.partition("==> ")[0]
