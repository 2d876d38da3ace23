"""What is served of Pico is all that the pages use."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
# In a template or a script, each of these would want a part of Pico that scripts/styles.scss leaves out.
# Not among them: <kbd> and <dialog> of the review page, which are as the browser shows them.
WANTS = (
    r"""<(code|pre|samp)\b|role="group"|data-tooltip|aria-busy|overflow-auto"""
    r"""|class="[^"]*\b(dropdown|grid)\b|type="(color|date|datetime-local|month|time|week|range|search)\""""
)


def test_no_page_uses_what_is_left_out() -> None:
    pages = [path for path in (ROOT / "templates").rglob("*.html") if "admin" not in path.parts]
    for path in [*pages, *(ROOT / "evaluations" / "static").rglob("*.js")]:
        assert not (found := re.search(WANTS, path.read_text())), f"{path} wants {found}: see scripts/styles.scss"
