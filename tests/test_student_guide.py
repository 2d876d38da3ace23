"""What docs/student.md promises to be on the pages is there under that name."""

from __future__ import annotations

import re
from pathlib import Path

from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[1]
CATALOGUE = ROOT / "locale" / "de" / "LC_MESSAGES" / "django.po"


def test_every_word_in_bold_is_one_of_the_pages() -> None:
    bold = re.findall(r"\*\*(.+?)\*\*", (ROOT / "docs" / "student.md").read_text().split("\n## ", 1)[1])
    with CATALOGUE.open("rb") as file:
        ids = [message.id for message in read_po(file)]
    # As people read it: without markup, and what is only for those who hear the page.
    shown = {
        re.sub(r"<span.*?</span>|<[^>]+>", "", one)
        for each in ids
        for one in ([each] if isinstance(each, str) else each)
    }
    missing = [words for words in bold if not any(each.startswith(words) for each in shown)]
    assert len(bold) > 20
    assert not missing
