"""Resumable uploads: a tus 1.0 server (core, creation, creation-defer-length, termination, expiration).

protocol.py   headers in and out; no database, no disk
files.py      the bytes of an unfinished upload: UPLOADS_DIR/<id>
limits.py     who may start an upload, and whether the disk has room for it
intake.py     begin, append, complete, discard, expire: each by one caller at a time
views.py      the two addresses

Beside it:

local_files.py  files of this machine, evaluated without a browser
result_files.py what came of each submission, as files
audit.py        the stored files compared with the submissions
"""
