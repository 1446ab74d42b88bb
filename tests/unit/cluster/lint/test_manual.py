"""The page about the rules, made from the rules."""

from __future__ import annotations

import importlib.machinery
import importlib.util

from kvmha.cluster import lint
from kvmha.cluster.lint import manual


def test_every_rule_has_its_row_under_the_title_of_its_area():
    text = manual.markdown()
    assert {rule.area for rule in lint.RULES} == set(manual.TITLES)
    assert [text.count(f"| `{rule.id}` |") for rule in lint.RULES] == [1] * len(lint.RULES)


def test_the_page_has_the_rules_as_they_are_now(checkout):
    """Where this fails, `packaging/pages docs` writes them anew."""
    path = str(checkout / "packaging" / "pages")
    loader = importlib.machinery.SourceFileLoader("pages", path)
    spec = importlib.util.spec_from_loader("pages", loader)
    pages = importlib.util.module_from_spec(spec)
    loader.exec_module(pages)
    page = (checkout / "docs" / "cluster-check.md").read_text()
    assert page == pages.with_rules(page)
