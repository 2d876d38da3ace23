"""Rewriting a container with an index and a duration, in the child.

A browser writes its recordings as a stream: WebM without a duration and without cues, MP4 in fragments. They play, but
a player can't seek in them. Nothing is decoded or encoded here: the packets are copied into a new container.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av

from evaluations.media.container import container_name, open_media
from evaluations.media.facts import Remuxed
from queueing.exceptions import Permanent

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

Place = Callable[[int, bytes], None]
"""Puts bytes at an offset of the file that is written."""

_PIECE_BYTES = 256 * 1024


def remux(path: Path, place: Place) -> Remuxed:
    """Write a copy of `path` that seeks through `place`, if it needs one.

    Raises:
        Permanent: it can't be read, or not be written as what it is (code `unreadable`).
    """
    with open_media(path) as source:
        muxer = _muxer_for(path, source)
        if muxer is None:
            return Remuxed(written=False)
        try:
            with av.open(Pieces(place), "w", format=muxer, buffer_size=_PIECE_BYTES) as copy:
                _copy(source, copy)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            raise Permanent(f"it can't be rewritten: {error}", code="unreadable") from error
    return Remuxed(written=True)


class Pieces(io.RawIOBase):
    """A writable, seekable file whose bytes go to `place`, since the child may write no file. Muxers do seek back."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._at = 0
        self._size = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        self._place(self._at, bytes(content))
        self._at += len(content)
        self._size = max(self._size, self._at)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def _muxer_for(path: Path, source: InputContainer) -> str | None:
    """FFmpeg's name for the kind of the file, if it needs to be rewritten."""
    name = container_name(path, source)
    if name in ("webm", "matroska"):
        # FFmpeg guesses a duration where it knows the bit rate, which it does for none of the browsers' codecs.
        return None if source.duration else name
    return name if name in ("mp4", "mov") and _is_fragmented(path) else None


def _is_fragmented(path: Path) -> bool:
    return b"moof" in _boxes(path)


def _boxes(path: Path) -> Iterator[bytes]:
    """The names of an MP4's outermost boxes."""
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8:
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            yield head[4:8]
            if size < 8:  # 0: it goes on to the end
                return
            file.seek(size - len(head), os.SEEK_CUR)


def _copy(source: InputContainer, copy: OutputContainer) -> None:
    streams = [each for each in source.streams if each.type in ("audio", "video")]
    tracks = {each.index: copy.add_stream_from_template(each) for each in streams}
    for packet in source.demux(*streams):
        if packet.dts is not None:  # the last of each stream is empty
            packet.stream = tracks[packet.stream.index]
            copy.mux(packet)
