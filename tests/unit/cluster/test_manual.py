"""The reference in docs/cluster-yaml.md is made from the table of fields, and no field is missing in it."""

from __future__ import annotations

import importlib.machinery
import importlib.util

from kvmha.cluster import fields, manual


def test_the_page_has_the_fields_as_they_are(checkout):
    loader = importlib.machinery.SourceFileLoader("pages", str(checkout / "packaging/pages"))
    spec = importlib.util.spec_from_loader("pages", loader)
    assert spec is not None
    pages = importlib.util.module_from_spec(spec)
    loader.exec_module(pages)
    page = (checkout / "docs/cluster-yaml.md").read_text()
    # Made by packaging/pages docs.
    assert page == pages.with_fields(page)


def test_every_field_of_every_group_has_its_row():
    text = manual.markdown()

    def rows(table: tuple[fields.Field, ...], place: str) -> None:
        section = text[text.index(f"### {place or 'The file itself'}\n") :].split("\n### ")[0]
        for field in table:
            (row,) = [line for line in section.splitlines() if line.startswith(f"| `{field.name}` |")]
            assert field.help.replace("|", "\\|") in row
            assert len(row.replace("\\|", "").split("|")) == 6
            if field.inner:
                inside = f"{place.strip('`')}.{field.name}".strip(".") + ("[]" if field.shape == "records" else "")
                rows(field.inner, f"`{inside}`")

    rows(fields.CLUSTER, "")
