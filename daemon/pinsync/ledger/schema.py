"""The ledger's tables and how an older file becomes a newer one.

`PRAGMA user_version` is the schema's version. A migration is a list of statements that leads from version N to N + 1;
it runs in one transaction, after a copy of the file was made beside it. Columns named `*_at`, `since` and `until` hold
seconds since the epoch; `key` holds the binary CIDv1; `created` holds a server's nanoseconds.
"""

from __future__ import annotations

VERSION_1 = (
    """CREATE TABLE facts (
        name TEXT PRIMARY KEY, value TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE remotes (
        name TEXT PRIMARY KEY, endpoint TEXT, traits TEXT NOT NULL DEFAULT '{}', traits_at REAL,
        ok INTEGER, error TEXT, complete INTEGER, reason TEXT, listed_at REAL, tried_at REAL,
        failures INTEGER DEFAULT 0, present INTEGER, foreign_pins INTEGER,
        other_marks TEXT NOT NULL DEFAULT '[]', recent TEXT NOT NULL DEFAULT '[]', paused_until REAL,
        closed TEXT, no_deletes TEXT, quiet TEXT, seen TEXT NOT NULL DEFAULT '{}'
    ) WITHOUT ROWID""",
    """CREATE TABLE entries (
        remote TEXT NOT NULL, key BLOB NOT NULL, cid TEXT NOT NULL, wanted INTEGER NOT NULL, state TEXT NOT NULL,
        since REAL, sources TEXT NOT NULL DEFAULT '', unwanted_since REAL, unwanted_why TEXT NOT NULL DEFAULT '',
        requestid TEXT, created INTEGER, was_there TEXT NOT NULL DEFAULT '', missing INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0, next_try REAL, error TEXT, follow_at REAL,
        follows INTEGER NOT NULL DEFAULT 0, declined TEXT NOT NULL DEFAULT '', unclear INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (remote, key)
    ) WITHOUT ROWID""",
    "CREATE INDEX entries_by_state ON entries (remote, wanted, state)",
    "CREATE INDEX entries_to_follow ON entries (remote, follow_at) WHERE follow_at IS NOT NULL",
    """CREATE TABLE owned (
        remote TEXT NOT NULL, key BLOB NOT NULL, requestid TEXT NOT NULL, cid TEXT NOT NULL, how TEXT NOT NULL,
        created INTEGER, since REAL, gone_at REAL,
        PRIMARY KEY (remote, key, requestid)
    ) WITHOUT ROWID""",
    """CREATE TABLE journal (
        id INTEGER PRIMARY KEY, run INTEGER, remote TEXT NOT NULL, kind TEXT NOT NULL, step TEXT NOT NULL,
        key BLOB NOT NULL, cid TEXT NOT NULL, requestid TEXT, body TEXT, at REAL NOT NULL, state TEXT NOT NULL,
        settled_at REAL, outcome TEXT, approved INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX journal_open ON journal (remote, key) WHERE state IN ('open', 'unclear')",
    "CREATE INDEX journal_by_pin ON journal (key)",
    "CREATE INDEX journal_removals ON journal (remote, settled_at) WHERE kind = 'remove' AND state = 'done'",
    """CREATE TABLE pending (
        remote TEXT NOT NULL, kind TEXT NOT NULL, key BLOB NOT NULL, requestid TEXT NOT NULL DEFAULT '',
        cid TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, until REAL,
        step TEXT NOT NULL,
        PRIMARY KEY (remote, kind, key, requestid)
    ) WITHOUT ROWID""",
    """CREATE TABLE approvals (
        remote TEXT NOT NULL, kind TEXT NOT NULL, key BLOB NOT NULL, requestid TEXT NOT NULL DEFAULT '',
        cid TEXT NOT NULL, code TEXT NOT NULL, now INTEGER NOT NULL DEFAULT 0, at REAL NOT NULL, by TEXT NOT NULL,
        PRIMARY KEY (remote, kind, key, requestid)
    ) WITHOUT ROWID""",
    """CREATE TABLE doubts (
        code TEXT PRIMARY KEY, reason TEXT NOT NULL, since REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE doubt_approvals (
        code TEXT NOT NULL, remote TEXT NOT NULL DEFAULT '', at REAL NOT NULL, by TEXT NOT NULL,
        PRIMARY KEY (code, remote)
    ) WITHOUT ROWID""",
    """CREATE TABLE sources (
        name TEXT PRIMARY KEY, kind TEXT NOT NULL, ok INTEGER NOT NULL, error TEXT, pins INTEGER, peer_id TEXT,
        version TEXT, read_at REAL, good_at REAL, good_pins INTEGER, good_peer_id TEXT, path TEXT,
        digest TEXT, includes TEXT NOT NULL DEFAULT '{}'
    ) WITHOUT ROWID""",
    """CREATE TABLE manifest (
        row TEXT NOT NULL
    )""",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY, trigger TEXT NOT NULL, started_at REAL NOT NULL, progress_at REAL NOT NULL,
        finished_at REAL, good INTEGER, exit_code INTEGER, report TEXT
    )""",
)

VERSION_2 = (
    # What happened that was no request: what people said, what changed in the verdict, what was held, what was mended.
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL DEFAULT '',
        remote TEXT NOT NULL DEFAULT '', key BLOB, cid TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX events_by_pin ON events (key) WHERE key IS NOT NULL",
    "CREATE INDEX events_by_time ON events (at)",
    # The HTTP requests of a journal's row, as JSON (`records.exchanges_text`).
    "ALTER TABLE journal ADD COLUMN requests TEXT",
    # Remotes that a person paused; "" stands for all of them. `until` NULL: until somebody resumes.
    """CREATE TABLE pauses (
        remote TEXT PRIMARY KEY, since REAL NOT NULL, until REAL, reason TEXT NOT NULL DEFAULT '',
        who TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (VERSION_1, VERSION_2)
"""MIGRATIONS[n] leads from version n to version n + 1."""

VERSION = len(MIGRATIONS)
APPLICATION_ID = 0x70696E73  # "pins": tells our file from any other SQLite database
