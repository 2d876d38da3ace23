"""An answer as HTML: what models write is laid out, and nothing that leads elsewhere or runs comes through."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.coaching.questions.markdown import TAGS, rendered
from tests.evaluations.material import HOSTILE

ROOT = Path(__file__).parents[4]

ATTACKS = (
    HOSTILE,
    "[a](javascript:alert(1))",
    "[a](/admin/ 'x')",
    "[a]\n\n[a]: javascript:alert(1)",
    "![a](//evil.example/i.png)",
    "![a]\n\n[a]: data:text/html,x",
    "<javascript:alert(1)> <https://evil.example> <a@evil.example>",
    "<a href='//evil.example'>a</a><svg/onload=alert(1)>",
    "<div>\n\n**a**<iframe srcdoc=x>",
    "```<script>\n</code></pre><script>alert(1)</script>",
    "`</code><img src=x onerror=alert(1)>`",
    '1<b onmouseover=alert(1)>. a\n99999999" onload=x. a',
    "# <img src=x onerror=alert(1)>\n***\n> <style>*{}</style>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62;",
    "<!--><img src=x onerror=alert(1)>-->",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
)


class Elements(HTMLParser):
    """What a browser would make of it: tags in order, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def check(self) -> None:
        assert not self.open, "something is not closed"
        assert self.tags <= TAGS
        assert all(name == "start" and (value or "").isdigit() for name, value in self.attributes)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("You **smiled** *a lot*.", "<p>You <strong>smiled</strong> <em>a lot</em>.</p>"),
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>"),
        ("3. three\n4. four", '<ol start="3">\n<li>three</li>\n<li>four</li>\n</ol>'),
        ("one\ntwo", "<p>one<br>\ntwo</p>"),
        ("# Next time\nLook up.", "<p><strong>Next time</strong></p>\n<p>Look up.</p>"),
        ("> I like climbing.", "<blockquote>\n<p>I like climbing.</p>\n</blockquote>"),
        ("", ""),
    ],
)
def test_what_models_write_is_laid_out(text: str, html: str) -> None:
    assert rendered(text).strip() == html


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_runs_loads_or_leads_elsewhere_at_any_moment_of_its_writing(attack: str) -> None:
    for end in range(len(attack) + 1):
        Elements(rendered(attack[:end])).check()


@pytest.mark.parametrize("text", ["[the rubric](https://evil.example/a)", "![a cat](https://evil.example/i.png)"])
def test_a_link_and_an_image_stay_the_words_that_they_are(text: str) -> None:
    assert Elements(rendered(text)).text.strip() == text


@given(st.text(alphabet=" \n\t*_`#>-+~[]()!<>&;=\"'\\/:1.ax\u200b", max_size=200))
def test_whatever_is_written_is_closed_and_harmless(text: str) -> None:
    Elements(rendered(text)).check()


def test_threads_may_render_at_once() -> None:
    texts = [f"**{number}**" for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(rendered, texts)] == [f"<p><strong>{number}</strong></p>\n" for number in range(200)]


def test_a_worker_and_a_command_start_without_what_only_pages_need() -> None:
    """They take a quarter of a second to import; whoever shows an answer pays it with the first one."""
    at_once = re.compile(r"^(?:import|from) (?:nh3|markdown_it)\b", re.MULTILINE)
    code = (path for folder in ("introeval", "evaluations", "queueing") for path in (ROOT / folder).rglob("*.py"))
    assert not [path for path in code if at_once.search(path.read_text())]
