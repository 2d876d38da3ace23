"""What MkDocs can't know of docs/ (`make docs`): a first page, and which links lead out of the guides."""

from __future__ import annotations

import posixpath
import re
from typing import Any, Final

from mkdocs.structure.files import File, Files

LINK: Final = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
FIRST: Final = """\
# IntroEval

[The first lesson](first-lesson.md) · [For students](student.md) · [For teachers](teacher.md) ·
[For operators](operator.md)

[Die erste Stunde](de/first-lesson.md) · [Für Schülerinnen und Schüler](de/student.md) · [Für Lehrkräfte](de/teacher.md)
"""


def on_files(files: Files, config: Any) -> Files:
    files.append(File.generated(config, "index.md", content=FIRST))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """What lies elsewhere in the checkout keeps its name, without a link."""
    folder = posixpath.dirname(page.file.src_uri)

    def led(link: re.Match[str]) -> str:
        leads_out = posixpath.normpath(posixpath.join(folder, link[2])).startswith("..")
        return link[1] if leads_out else link[0]

    return LINK.sub(led, markdown)
