"""A mind map as text for other programs: Markdown for Markmap and Obsidian, OPML for outliners."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from evaluations.coaching.operations.support import Part

_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~=:&$^])")
_NOT_IN_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Outline:
    """A mind map in words."""

    title: str
    branches: Sequence[tuple[str, Sequence[Part]]]  # title, leaves


def markdown(outline: Outline) -> str:
    """A heading, one per branch, and a list of leaves: each with its time and its quote."""
    lines = [f"# {_plain(outline.title)}"]
    for title, leaves in outline.branches:
        lines += ["", f"## {_plain(title)}", ""]
        lines += [f"- {_plain(leaf['text'])} ({_clock(leaf['start'])}: “{_plain(leaf['quote'])}”)" for leaf in leaves]
    return "\n".join([*lines, ""])


def opml(outline: Outline) -> bytes:
    """OPML 2.0; a leaf has its quote as `_note`, which outliners show below it, and its second as `start`."""
    root = ElementTree.Element("opml", version="2.0")
    ElementTree.SubElement(ElementTree.SubElement(root, "head"), "title").text = legal(outline.title)
    top = ElementTree.SubElement(ElementTree.SubElement(root, "body"), "outline", text=legal(outline.title))
    for title, leaves in outline.branches:
        branch = ElementTree.SubElement(top, "outline", text=legal(title))
        for leaf in leaves:
            ElementTree.SubElement(
                branch,
                "outline",
                text=legal(leaf["text"]),
                _note=f"{_clock(leaf['start'])} “{legal(leaf['quote'])}”",
                start=f"{leaf['start']:.2f}",
            )
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def legal(text: str) -> str:
    """Without the characters that XML can't hold."""
    return _NOT_IN_XML.sub("", text)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
