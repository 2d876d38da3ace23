"""Uploaded media: store, decode and serve files that may be hostile.

The contract of this package (each name lives in the module named beside it):

    store.py
        keep(staged: Path, submission_id: UUID) -> Stored
            fsync → sha256 → rename into MEDIA_ROOT/<id[:2]>/<id>/original → fsync of the directory. `Stored` has
            `path` (relative to MEDIA_ROOT, str), `size` (bytes) and `sha256` (hex). The staged file is gone afterwards.
            Raises `queueing.exceptions.Infrastructure(code="disk_full")` on ENOSPC / EROFS, no partial file is left;
            `disk_failed` on any other error of the disk.
        locate(relative: str) -> Path         absolute, refuses to leave MEDIA_ROOT and to follow symbolic links
        verify(relative: str, sha256: str)    raises Permanent(code="file_missing" | "file_damaged"), or
                                              Infrastructure(code="disk_failed"): it is not this file's fault
        verify_size(relative: str, size: int) the same by the size alone
        require_there()                       raises Infrastructure(code="disk_failed") when the disk is not mounted
        digest(path: Path) -> str             sha256 of a file, hex
        require_room(size, *, reserve)        raises Infrastructure(code="disk_full") before the reserve is touched
        contents() -> Contents                `originals` and `strays`, to be compared with the rows in both directions

    seekable.py
        seekable(original: Path) -> Path      a copy with an index beside a browser's recording, made on first use

    decode.py  (parent side; confined.py spawns the child, keeps the wall clock and reads its answer)
        decode(path: Path, *, max_seconds: float) -> Decoded    `samples` (float32 mono 16 kHz) and `facts`, the
            `MediaFacts`: container, duration (seconds, from decoded samples), audio and video codec, width, height,
            damaged. `video_codec` is None for an audio file.
            Raises Permanent with one of the codes
                empty_file, unreadable, not_media (a playlist, text, an unlisted container), no_audio, too_long,
                too_many_pixels
            and Transient(code="decoder_crashed" | "decoder_timeout") when the child died or ran out of time,
            and Interrupted when `decode`'s `stop` was set.

        Its child is child.py (answers in the frames of wire.py), which drops its rights in confine.py, decodes in
        audio.py and rewrites containers in remux.py, through the same pipe.

    container.py  (child side: the only place that calls av.open)
        open_media(path) -> InputContainer    format whitelist, stream limits; a plain path only, never a file object

    serve.py
        content_type(container: str, *, video: bool = True) -> str      of `MediaFacts.container`
        stream(request, path: Path, content_type: str) -> HttpResponse   single byte ranges (206/416), HEAD, nosniff,
            sandboxing CSP, at most 1 MiB per answered range
"""
