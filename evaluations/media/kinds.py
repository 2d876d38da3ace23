"""What the bytes of a file say of its kind and of its end, without FFmpeg and before anything is decoded.

Pure, and cheap enough for the moment in which a file is chosen: its first HEAD_BYTES decide whether it is taken at all.
What follows them is the decoder's to judge.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

HEAD_BYTES: Final = 4096
MIN_BYTES: Final = 64  # a container's own header has more

CONTAINERS: Final = (
    *(
        "wav",
        "mp3",
        "flac",
        "ogg",
        "mov",
        "matroska",
        "webm",
    ),  # what browsers play; mov is mp4, m4a and 3gp too
    *("aac", "amr", "avi", "asf", "mpegts", "mpeg", "aiff", "caf", "flv"),  # what cameras, phones and recorders make
)
"""FFmpeg's names of the demuxers that may run."""

_MP4_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"pnot", b"uuid")
_PICTURES: Final = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"jxl ")  # brands of still pictures
_PREFIXES: Final = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"\x1a\x45\xdf\xa3": "matroska",
    b"#!AMR": "amr",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"caff": "caf",
    b"FLV\x01": "flv",
    b"\0\0\x01\xba": "mpeg",
    b"ID3": "mp3",
}
REFUSALS: Final = {
    "no bytes": "empty_file",
    "no recording": "not_media",
    "another recording": "unsupported",
    "no more than a beginning": "too_small",
}
# Whole recordings, in containers that are not read here: said to be unsupported, never broken.
_UNSUPPORTED: Final = re.compile(
    rb"""\.RMF|\.ra\xfd        # RealMedia, RealAudio
    |[\x01-\x07]d(?:ss|s2)     # dictating machines
    |\.snd|MThd|MAC\ |wvpk|TTA1|MPCK|MP\+|DSD\ |FRM8|Creative\ Voice|riff\x2e\x91|\#!SILK|\x02\#!SILK|IMPM|NSVf|NSVs
    |\x06\x0e\x2b\x34|\x1f\x07\x00|\x0b\x77|\x7f\xfe\x80\x01|FWS|CWS|ZWS|ADIF|RF64|BW64|DKIF|YUV4MPEG2|\0\0\x01\xb3""",
    re.VERBOSE,
)
_RIFFS: Final = {b"WAVE": "wav", b"AVI ": "avi"}
_MP4_ENCRYPTED: Final = (b"enca", b"encv", b"drms", b"drmi")
_MOST_INDEX_BYTES: Final = 16 * 1024 * 1024
_ASF_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_ENCRYPTED: Final = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
)
_UNKNOWN_RIFF: Final = 0x7FFFFF00
_MOST_PAGE_BYTES: Final = 65_307  # of an Ogg page
_LAST_PAGE: Final = 4  # a page's flag
_TRANSPORT_PACKETS: Final = (188, 192, 204)  # bytes of an MPEG-TS packet: on air, on a camera's card, with parity
_SYNC: Final = 0x47  # its first one
_LONGEST_HEADER: Final = 6  # bytes of a frame's header that are looked at
_KILOBITS: Final = {  # a second, by layer; 4 and 5: layer 1, and layers 2 and 3, of MPEG-2 and 2.5
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    4: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    5: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def kind(head: bytes) -> str:
    """FFmpeg's name of the container that these first bytes begin, "" where it is none that is read here."""
    found = next((name for prefix, name in _PREFIXES.items() if head.startswith(prefix)), "")
    if found:
        return found
    if head.startswith((b"RIFF", b"FORM")):
        return _RIFFS.get(head[8:12], "aiff" if head[8:12] in (b"AIFF", b"AIFC") else "")
    if head[4:8] in _MP4_BOXES:
        return "" if head[4:8] == b"ftyp" and head[8:12] in _PICTURES else "mov"
    return _by_frames(head)


def refusal(head: bytes, size: int) -> str:
    """Why a file of `size` bytes that begins with `head` is not taken: a code of the catalogue; "" if it may be."""
    if not size:
        return REFUSALS["no bytes"]
    if not kind(head):
        return REFUSALS["another recording" if _UNSUPPORTED.match(head) else "no recording"]
    return REFUSALS["no more than a beginning"] if size < MIN_BYTES else ""


def is_cut(path: Path) -> bool:
    """Whether a file's own structure says that bytes are missing at its end; False where it says nothing."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        ends = _ENDS.get(kind(head))
        return ends is not None and ends(file, head) > size


def is_protected(path: Path) -> bool:
    """Whether what it holds is encrypted for one shop's or service's players, in MP4 and Windows Media."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if kind(head) == "asf":
            return any(mark in head for mark in ASF_ENCRYPTED)
        return kind(head) == "mov" and any(
            _is_encrypted(file, at, end) for name, at, end in _boxes(file) if name == b"moov"
        )


def is_fragmented(path: Path) -> bool:
    """Whether an MP4 is written in fragments, as browsers record it."""
    with path.open("rb") as file:
        return any(name == b"moof" for name, _, _ in _boxes(file))


def _is_encrypted(file: BinaryIO, at: int, end: int) -> bool:
    file.seek(at)
    moov = file.read(min(end - at, _MOST_INDEX_BYTES))
    return b"sinf" in moov and any(name in moov for name in _MP4_ENCRYPTED)


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """An MP4's outermost boxes: name, where it begins and where it ends; one without a length has none after it."""
    at = 0
    file.seek(0)
    while len(head := file.read(16)) >= 8:
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        yield head[4:8], at, at + size
        if size < 8:  # 0: it goes on to the end
            return
        at += size
        file.seek(at)


def _end_of_boxes(file: BinaryIO, head: bytes) -> int:
    return max((end for _, _, end in _boxes(file)), default=0)


def _end_of_riff(file: BinaryIO, head: bytes) -> int:
    size = int.from_bytes(head[4:8], "little" if head.startswith(b"RIFF") else "big")
    # Who writes a stream doesn't know it, and some count a header too many.
    return 0 if size >= _UNKNOWN_RIFF else 8 + size - HEAD_BYTES


def _end_of_matroska(file: BinaryIO, head: bytes) -> int:
    length, at = _number(head, 4)
    at += length
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, at = _number(head, at + 4)
    return at + length


def _number(head: bytes, at: int) -> tuple[int, int]:
    """An EBML number and where it ends; 0 for the one that stands for "not known"."""
    first = int.from_bytes(head[at : at + 1], "big")
    width = 9 - first.bit_length()
    value = int.from_bytes(head[at : at + width], "big") & ~(1 << 7 * width)
    return (0 if value == (1 << 7 * width) - 1 else value), at + width


def _end_of_ogg(file: BinaryIO, head: bytes) -> int:
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - 2 * _MOST_PAGE_BYTES))
    tail = file.read()
    at = tail.rfind(b"OggS")
    page = tail[at : at + 27]
    if at < 0 or len(page) < 27 or not page[5] & _LAST_PAGE:
        return size + 1
    table = tail[at + 27 : at + 27 + page[26]]
    return start + at + 27 + page[26] + sum(table)


def _end_of_asf(file: BinaryIO, head: bytes) -> int:
    at = head.find(_ASF_PROPERTIES)
    is_live = at < 0 or head[at + 88 : at + 89] == b"\1"
    return 0 if is_live else int.from_bytes(head[at + 40 : at + 48], "little")


def _end_of_mp3(file: BinaryIO, head: bytes) -> int:
    """By the count of bytes in the first frame that encoders leave for it."""
    start = 0
    if head.startswith(b"ID3"):
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(HEAD_BYTES)
    at = max(frame[:256].find(b"Xing"), frame[:256].find(b"Info"))
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    if at < 0 or not flags & 2:
        return 0
    count = at + 8 + 4 * (flags & 1)
    return start + int.from_bytes(frame[count : count + 4], "big")


_ENDS: Final[dict[str, Callable[[BinaryIO, bytes], int]]] = {
    "mov": _end_of_boxes,
    "matroska": _end_of_matroska,
    "wav": _end_of_riff,
    "avi": _end_of_riff,
    "aiff": _end_of_riff,
    "ogg": _end_of_ogg,
    "asf": _end_of_asf,
    "mp3": _end_of_mp3,
}
"""By container: how long the file is by what it says of itself, in bytes."""


def _by_frames(head: bytes) -> str:
    """Streams without a header. Their signs are short, so several must follow each other."""
    if any(_is_transport_stream(head, size) for size in _TRANSPORT_PACKETS):
        return "mpegts"
    if _frames_follow(head, _adts_length):
        return "aac"
    return "mp3" if _frames_follow(head, _mpeg_length) else ""


def _is_transport_stream(head: bytes, size: int) -> bool:
    signs = (head[at::size] for at in range(min(size, len(head))))
    return any(len(sign) > 1 and sign == bytes([_SYNC]) * len(sign) for sign in signs)


def _frames_follow(head: bytes, length_at: Callable[[bytes, int], int]) -> bool:
    """Whether frames follow each other: two from the first byte on, or four from a later one, after a cut one."""
    return _frames(head, 0, length_at) >= 2 or any(
        _frames(head, at, length_at) >= 4 for at in range(1, len(head) // 2) if head[at] == 0xFF
    )


def _frames(head: bytes, at: int, length_at: Callable[[bytes, int], int]) -> int:
    """How many headers of frames follow each other from `at` on, as far as `head` reaches."""
    number = 0
    while at + _LONGEST_HEADER <= len(head) and (length := length_at(head, at)):
        number, at = number + 1, at + length
    return number


def _adts_length(head: bytes, at: int) -> int:
    """Of the ADTS frame at an offset (ISO 13818-7 §6.2), 0 where none begins."""
    first, second, third, fourth, fifth, sixth = head[at : at + _LONGEST_HEADER]
    if first != 0xFF or second & 0xF6 != 0xF0 or third >> 2 & 0xF > 12:
        return 0
    length = (fourth & 0x3) << 11 | fifth << 3 | sixth >> 5
    return length if length > _LONGEST_HEADER else 0


def _mpeg_length(head: bytes, at: int) -> int:
    """Of the MPEG audio frame at an offset (ISO 11172-3 §2.4.1.3), 0 where none begins."""
    first, second, third = head[at : at + 3]
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    number, rate = third >> 4, third >> 2 & 3
    if first != 0xFF or second & 0xE0 != 0xE0 or version == 1 or layer == 4 or number in (0, 15) or rate == 3:
        return 0
    kilobits = _KILOBITS[layer if version == 3 else min(layer, 2) + 3][number - 1]
    hertz = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    padding = third >> 1 & 1
    if layer == 1:
        return (12_000 * kilobits // hertz + padding) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * kilobits // hertz + padding
