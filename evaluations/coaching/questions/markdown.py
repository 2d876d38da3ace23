"""A coach's answer as HTML: models write Markdown, whether they are asked to or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final

from django.utils.safestring import SafeString, mark_safe

TAGS: Final = frozenset({"p", "br", "strong", "em", "ul", "ol", "li", "blockquote", "code", "pre", "hr"})
# What leads or loads elsewhere stays the text that it is: nobody is sent anywhere by what a model wrote. And so does an
# entity: what a reader sees is what `guard` has read.
REFUSED: Final = ("link", "image", "autolink", "reference", "html_inline", "html_block", "entity")


@lru_cache(maxsize=64)
def rendered(text: str) -> SafeString:
    """Safe for a page, also while it is written: a mark that is not closed yet is text."""
    return mark_safe(_renderer()(text))  # noqa: S308  # sanitised


@cache
def _renderer() -> Callable[[str], str]:
    # Here, for only the site's processes show answers: a worker and the commands start without these two.
    import nh3
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).disable(list(REFUSED))
    # The page has headings of its own, which these would stand among.
    parser.add_render_rule("heading_open", _constant("<p><strong>"))
    parser.add_render_rule("heading_close", _constant("</strong></p>\n"))
    # The parser escapes all it doesn't know. That it lets nothing through need not be believed.
    cleaner = nh3.Cleaner(tags=set(TAGS), attributes={"ol": {"start"}}, link_rel=None)
    return lambda text: cleaner.clean(parser.render(text))


def _constant(html: str) -> Callable[..., str]:
    def write(*_: Any) -> str:
        return html

    return write
