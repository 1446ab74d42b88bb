"""What a definition must not have for a live move, against QEMU, which is asked to refuse what it cannot move."""

from __future__ import annotations

import pytest

from kvmha.host import Host
from kvmha.tools.domain_devices import STUCK_FORMATS

HOST = Host()
QEMU = "qemu-system-x86_64"
ARGV = (
    QEMU, "-machine", "q35,accel=tcg", "-m", "64", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio",
    "-only-migratable",
)  # fmt: skip
USB = ("-device", "qemu-xhci")


@pytest.fixture(autouse=True)
def _qemu():
    for program in (QEMU, "qemu-img"):
        if HOST.which(program) is None:
            pytest.skip(f"not installed: {program}")


def refusal(*words: str) -> str:
    """Return what QEMU says against a guest that it could not move; nothing where it starts it."""
    done = HOST.run(*ARGV, *words, given="quit\n", timeout=60, ok=None)
    return "" if done.rc == 0 else done.err or f"it ended with {done.rc}"


@pytest.mark.parametrize("name", [*STUCK_FORMATS, "qcow2", "raw", "qed"])
def test_the_formats_that_do_not_move_are_those_that_qemu_names(tmp_path, name):
    path = str(tmp_path / "disk")
    HOST.run("qemu-img", "create", "-q", "-f", name, path, "16M", timeout=60)
    said = refusal("-drive", f"file={path},format={name},if=none,id=disk")
    assert bool(said) == (name in STUCK_FORMATS), said
    # QEMU 7.2 refuses vhdx too, and dies of it without a word.
    assert not said or "does not support live migration" in said or name == "vhdx"


@pytest.mark.parametrize(
    ("words", "is_refused"),
    [
        pytest.param((*USB, "-device", "usb-audio"), True, id="usb-audio"),
        pytest.param((*USB, "-device", "usb-net"), True, id="usb-net"),
        pytest.param((*USB, "-chardev", "null,id=c", "-device", "usb-serial,chardev=c"), True, id="usb-serial"),
        pytest.param(
            ("-object", "cryptodev-backend-builtin,id=c", "-device", "virtio-crypto-pci,cryptodev=c"), True, id="crypto"
        ),
        pytest.param(("-device", "virtio-input-host-pci,evdev=/dev/null"), True, id="input-host"),
        pytest.param((*USB, "-device", "usb-tablet"), False, id="usb-tablet"),
        pytest.param(("-device", "virtio-keyboard-pci"), False, id="virtio-keyboard"),
        pytest.param(("-device", "intel-iommu"), False, id="iommu"),
        pytest.param(("-device", "i6300esb"), False, id="watchdog"),
        pytest.param(("-device", "virtio-balloon-pci"), False, id="balloon"),
    ],
)
def test_the_devices_that_do_not_move_are_those_that_qemu_names(words, is_refused):
    assert ("is not migratable" in refusal(*words)) == is_refused
