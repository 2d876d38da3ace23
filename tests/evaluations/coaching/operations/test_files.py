"""A mind map as text: whatever was said, it is still Markdown and XML, and says the same."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from evaluations.coaching.operations.files import Outline, markdown, opml
from tests.evaluations.material import HOSTILE


def leaf(text: str, quote: str = "I like to climb.") -> dict[str, object]:
    return {"text": text, "sentence": 2, "quote": quote, "start": 75.3, "end": 80.0}


def test_markdown_has_a_heading_per_branch_and_a_leaf_with_time_and_quote() -> None:
    assert markdown(Outline("Ada", [("Free time", [leaf("climb")]), ("Plans", [leaf("be a vet")])])) == (
        "# Ada\n\n## Free time\n\n- climb (1:15: “I like to climb\\.”)\n\n"
        "## Plans\n\n- be a vet (1:15: “I like to climb\\.”)\n"
    )


def test_opml_has_the_tree_with_quotes_as_notes_and_seconds() -> None:
    root = ElementTree.fromstring(opml(Outline("Ada", [("Plans", [leaf("be a vet")])])))  # noqa: S314 - our own
    assert (root.tag, root.get("version"), root.findtext("head/title")) == ("opml", "2.0", "Ada")
    (found,) = root.findall("body/outline/outline/outline")
    assert (found.get("text"), found.get("_note"), found.get("start")) == (
        "be a vet",
        "1:15 “I like to climb.”",
        "75.30",
    )


@given(st.text() | st.just(HOSTILE) | st.just("](javascript:alert(1)) `x` **b** 1. # - <b>"))
def test_whatever_is_said_is_text_in_both(said: str) -> None:
    made = Outline(said, [(said, [leaf(said, said)])])
    ElementTree.fromstring(opml(made))  # noqa: S314 - our own
    heading, branch, item = [line for line in re.split("\n", markdown(made)) if line]
    for written, mark in ((heading, "# "), (branch, "## "), (item, "- ")):
        assert written.startswith(mark)
        own = re.sub(r"\\.", "", written.removeprefix(mark))  # what is escaped has no meaning
        assert not re.search(r"[\\`*_\[\]<>#]", own)
