"""The nouns that decisions speak of."""

from __future__ import annotations

from kvmha.record import Record


class GuestIdentity(Record):
    """What tells one guest from all others: libvirt's name on one host, and the UUID everywhere. One may be empty."""

    name: str = ""
    """Empty where the resource names a persistent domain by its UUID and nobody has been asked yet."""
    uuid: str = ""
    """Lower case with dashes; empty where the definition carries none and libvirt has not been asked yet."""

    @property
    def label(self) -> str:
        """What to call the guest in a sentence."""
        return self.name or self.uuid


class GuestState(Record):
    """A domain's state and the reason for it, in libvirt's own words (``virsh domstate --reason``)."""

    state: str
    reason: str = ""
    pid: int = 0
    """The QEMU process, 0 if there is none or it is not known."""
