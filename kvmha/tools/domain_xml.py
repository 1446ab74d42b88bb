"""Domain definitions as XML."""

from __future__ import annotations

from xml.parsers import expat

from kvmha.policy.model import GuestIdentity


class DomainXmlError(ValueError):
    """The text is no domain definition that we can use; the message says what is wrong with it."""


def parse_identity(xml: bytes) -> GuestIdentity:
    """Return the name and UUID of a definition: those directly below ``<domain>``, never others of the same name.

    Entities are refused, because a definition needs none and they can make a small file large.
    """
    path: list[str] = []
    texts: dict[str, list[str]] = {}
    parser = expat.ParserCreate()

    def start(tag: str, _attributes: dict[str, str]) -> None:
        path.append(tag)
        if path in (["domain", "name"], ["domain", "uuid"]):
            if tag in texts:
                raise DomainXmlError(f"it has a second <{tag}>")
            texts[tag] = []

    def end(_tag: str) -> None:
        path.pop()

    def characters(text: str) -> None:
        if len(path) == 2 and path[0] == "domain" and path[1] in texts:
            texts[path[1]].append(text)

    def entity(*_arguments: object) -> None:
        raise DomainXmlError("it declares entities")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise DomainXmlError(f"it is not well-formed XML: {error}") from None
    except DomainXmlError:
        raise
    except (LookupError, ValueError) as error:
        # What pyexpat raises for an encoding that Python does not know, or that has more than one byte per character.
        raise DomainXmlError(f"its encoding cannot be read: {error}") from None
    name = "".join(texts.get("name", []))
    if not name.strip():
        raise DomainXmlError("it has no <name> below <domain>")
    return GuestIdentity(name=name, uuid=_canonical("".join(texts.get("uuid", [])).strip()))


def _canonical(uuid: str) -> str:
    """Write a UUID as QEMU's command line has it; libvirt reads it with dashes, without them, and in capitals."""
    digits = uuid.replace("-", "").lower()
    if not digits:
        return ""
    if len(digits) != 32 or any(digit not in "0123456789abcdef" for digit in digits):
        raise DomainXmlError(f'its <uuid> "{uuid}" is not one')
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
