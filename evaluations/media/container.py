"""The only place where a media file is opened.

FFmpeg recognises some 300 formats, among them texts that make it open other files and make network requests (HLS,
DASH, ffconcat, SDP), under whatever name they come. So only the demuxers of `kinds.CONTAINERS` may run, and the only
protocol is a file descriptor that was opened and checked here; there is no name left to open another file by.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.stream import Disposition

from evaluations.media import kinds
from evaluations.media.facts import MediaFacts
from queueing.exceptions import Permanent

if TYPE_CHECKING:
    from av.video.stream import VideoStream

MAX_STREAMS = 16
MAX_TAG_CHARACTERS = 1024 * 1024
MAX_LONG_SIDE, MAX_SHORT_SIDE = 4096, 2304  # pixels, upright or sideways


def open_media(path: Path) -> InputContainer:
    """Open a regular file for demuxing; the caller closes what it gets.

    Raises:
        Permanent: `unreadable` (not a regular file, a symbolic link, a broken or excessive header), `empty_file`,
            `not_media` and `unsupported` (any format that is not listed in `kinds`), `copy_protected` or
            `too_many_pixels`.
    """
    descriptor = _open_regular(path)
    try:
        head = os.pread(descriptor, kinds.HEAD_BYTES, 0)
        container = _open_descriptor(descriptor, head)
    finally:
        os.close(descriptor)  # FFmpeg works on a duplicate
    try:
        _refuse_excess(container)
        _refuse_protected(path)
    except BaseException:
        container.close()
        raise
    return container


def facts_of(
    path: Path,
    container: InputContainer,
    *,
    audio_codec: str,
    duration: float,
    damaged_at: float | None,
    ends_early: bool,
) -> MediaFacts:
    """The container's facts, with what the decoder counted."""
    video = next(iter(moving_pictures(container)), None)
    return MediaFacts(
        container=container_name(path, container),
        duration=duration,
        audio_codec=audio_codec,
        video_codec=video.codec_context.name if video else None,
        width=video.width if video else None,
        height=video.height if video else None,
        damaged=damaged_at is not None,
        ends_early=ends_early,
        damaged_at=damaged_at,
    )


def _open_regular(path: Path) -> int:
    # O_NONBLOCK: opening a FIFO must not wait for somebody to write to it.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Permanent(f"can't be opened: {error.strerror}", code="unreadable") from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return descriptor
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise Permanent("the file has no bytes", code="empty_file")
    raise Permanent("not a regular file", code="unreadable")


def _open_descriptor(descriptor: int, head: bytes) -> InputContainer:
    try:
        return av.open(
            "fd:",
            # Probing decodes a video frame now and then. A larger picture is not; its size reads 0 x 0 then.
            options={"max_pixels": str(MAX_LONG_SIDE * MAX_SHORT_SIDE)},
            container_options={
                "fd": str(descriptor),
                "protocol_whitelist": "fd",
                "format_whitelist": ",".join(kinds.CONTAINERS),
                "max_streams": str(MAX_STREAMS + 1),  # the rest is left out in silence
            },
            metadata_errors="replace",
        )
    except MemoryError as error:
        raise Permanent("opening it needs more memory than is allowed", code="unreadable") from error
    except av.FFmpegError as error:
        # A file of a kind that is read here is broken; another one never was a recording, or none of these kinds.
        code = kinds.refusal(head, max(len(head), kinds.MIN_BYTES)) or "unreadable"
        raise Permanent(f"no container could be read: {error.strerror or error}", code=code) from error


def _refuse_excess(container: InputContainer) -> None:
    if len(container.streams) > MAX_STREAMS:
        raise Permanent(f"more than {MAX_STREAMS} streams", code="unreadable")
    tags = [container.metadata, *(stream.metadata for stream in container.streams)]
    if sum(len(name) + len(value) for each in tags for name, value in each.items()) > MAX_TAG_CHARACTERS:
        raise Permanent("its tags are too long", code="unreadable")
    for video in moving_pictures(container):
        short, long = sorted((video.width, video.height))
        if not 0 < short <= MAX_SHORT_SIDE or long > MAX_LONG_SIDE:
            raise Permanent(f"{video.width} x {video.height} pixels", code="too_many_pixels")


def _refuse_protected(path: Path) -> None:
    if kinds.is_protected(path):
        raise Permanent("it is encrypted", code="copy_protected")


def moving_pictures(container: InputContainer) -> list[VideoStream]:
    """Its video streams, without cover pictures."""
    # A codec that FFmpeg doesn't know has no context and no size: nothing here can be made to decode it.
    return [
        video
        for video in container.streams.video
        if video.codec_context is not None and not video.disposition & Disposition.attached_pic
    ]


def container_name(path: Path, container: InputContainer) -> str:
    """Its kind by content, as in `MediaFacts.container`."""
    name = container.format.name
    if name.startswith("mov,"):
        return "mov" if container.metadata.get("major_brand", "qt").strip() == "qt" else "mp4"
    if name.startswith("matroska"):
        with path.open("rb") as file:
            return "webm" if b"webm" in file.read(64) else "matroska"
    return name
