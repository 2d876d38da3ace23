"""What is served of Pico: all that the pages use, and no more than half."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent
ASSETS = runpy.run_path(str(ROOT / "scripts" / "assets.py"))

CSS = (
    '@charset "UTF-8";/*! licence */:root,:host{--a:1}'
    "dialog article{b:2}"
    "[type=range],input:not([type=checkbox],[type=range]):focus{c:3}"
    "@media (min-width:1px){.grid{d:4}.container{e:5}}@supports (f:6){[role=group]{g:7}}"
    "@keyframes turn{0%{h:8}to{i:9}}"
)
# In a template or a script, each of these would want a part of Pico that is left out.
WORDS = (
    r'role="(group|search|switch|link)"|dir="rtl"|data-theme|<dialog|modal|data-tooltip|aria-busy|aria-invalid|breadcrumb'
    r'|class="[^"]*\b(dropdown|contrast|grid|container-fluid)\b'
    r'|type="(range|color|date|time|month|week|search|tel|url|datetime-local)"'
)


def test_what_no_page_uses_is_left_out_and_the_licence_stays() -> None:
    assert ASSETS["trimmed"](CSS) == (
        "/*! licence */:root{--a:1}input:not([type=checkbox],[type=range]):focus{c:3}"
        "@media (min-width:1px){.container{e:5}}@keyframes turn{0%{h:8}to{i:9}}"
    )


def test_no_page_uses_what_is_left_out() -> None:
    pages = [path for path in (ROOT / "templates").rglob("*.html") if "admin" not in path.parts]
    for path in [*pages, *(ROOT / "evaluations" / "static").rglob("*.js")]:
        assert not (found := re.search(WORDS, path.read_text())), (
            f"{path} wants {found}: see UNUSED in scripts/assets.py"
        )
