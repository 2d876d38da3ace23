"""A copy of everything that must survive, made while the lab works, and the way back.

    DIR/manifest.json     what is in it, with sizes and sha256 (manifest.py); written last
    DIR/database.dump     of `pg_dump`, as of one moment (database.py)
    DIR/media/…           the videos that the database names
    DIR/uploads/<id>      what had arrived of unfinished uploads
    DIR/data/…            the other files of DATA_DIR: the secret key, certificates

making.py makes one, restoring.py puts it into an empty DATA_DIR and database, age.py tells how old the last one is.

The moment is a snapshot of the database, and the files are those that its rows name. A file is durable before its row
exists and never changes, so it is there; what people delete meanwhile is noted, and a restore deletes it again.
A folder gets its name when all of it is on the disk: what has the name is whole.
"""
