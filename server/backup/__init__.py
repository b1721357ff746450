"""Backup of a running node, and restoring it into an empty place.

    DIRECTORY/spine.sqlite | database.dump    the database: SQLite's online backup, or pg_dump's custom format
              data/...                        the files that rows name, by their paths in the data folder
              SHA256SUMS                      a digest of every file above (sha256sum --check reads it)
              manifest.json                   what it is a backup of, rows by table, newest hashes; written last

The database is taken first, the files after it. A row is committed only when its file is durable, and a file is never
changed afterwards: so every row of the snapshot finds its file, and files that came meanwhile are there besides (the
receiver adopts them at its next start). The other way round, a row could name a file that came after its folder was
copied. A file that a row of the snapshot names and that is gone was deleted meanwhile by retention; the backup fails
where its row is still there. See docs/decisions/0035.
"""
