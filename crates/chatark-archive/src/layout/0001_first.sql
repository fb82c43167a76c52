-- The archive, version 1. Migrations are append-only: this file is never edited once released.
--
-- Times are microseconds since 1970-01-01T00:00:00Z. NULL means that the vendor did not say.
-- Lists and objects are JSON texts, NULL where they are empty.

-- A configured account of one agent. The counts are kept in step by the writer.
CREATE TABLE source (
    source_key    INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    provider      TEXT NOT NULL,
    agent_id      TEXT NOT NULL,
    conversations INTEGER NOT NULL DEFAULT 0,
    messages      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One pull or rebuild of one source: the ledger.
CREATE TABLE run (
    run_key       INTEGER PRIMARY KEY,
    source_key    INTEGER NOT NULL REFERENCES source,
    kind          TEXT NOT NULL,               -- pull, rebuild
    scope         TEXT NOT NULL,               -- window, channel and selection
    resumed       INTEGER NOT NULL DEFAULT 0,  -- 1 where it went on from a checkpoint
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,                     -- NULL while it runs, or where it was killed
    verdict       TEXT,                        -- complete, grew-during-run, short, unprovable, partial, interrupted, failed
    error         TEXT,
    total_first   INTEGER,                     -- the vendor's own count, at the beginning of the sweep
    total_last    INTEGER,                     -- and at its end
    seen          INTEGER NOT NULL DEFAULT 0,  -- different conversations in the sweep, those of resumed runs included
    received      INTEGER NOT NULL DEFAULT 0,  -- conversations in the vendor's answers
    repeated      INTEGER NOT NULL DEFAULT 0,  -- of these, sent more than once in this run
    outside       INTEGER NOT NULL DEFAULT 0,  -- of these, outside the window or channel
    added         INTEGER NOT NULL DEFAULT 0,
    changed       INTEGER NOT NULL DEFAULT 0,
    unchanged     INTEGER NOT NULL DEFAULT 0,
    unreadable    INTEGER NOT NULL DEFAULT 0,
    pages         INTEGER NOT NULL DEFAULT 0,
    empty_pages   INTEGER NOT NULL DEFAULT 0,
    skipped       INTEGER NOT NULL DEFAULT 0,  -- left out by the vendor on its own account
    bytes         INTEGER NOT NULL DEFAULT 0,  -- of the conversations, as sent
    quota_used    INTEGER,
    quota_left    INTEGER,
    issues        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX run_of_source ON run (source_key, run_key);

-- The place to go on from: durable with the conversations before it, gone when a sweep ends.
CREATE TABLE checkpoint (
    source_key    INTEGER NOT NULL REFERENCES source,
    scope         TEXT NOT NULL,
    cursor        TEXT NOT NULL,
    seen          INTEGER NOT NULL,            -- different conversations in the sweep so far
    total_first   INTEGER,
    saved_at      INTEGER NOT NULL,
    PRIMARY KEY (source_key, scope)
) STRICT, WITHOUT ROWID;

-- The current state of every conversation.
CREATE TABLE conversation (
    conversation_key INTEGER PRIMARY KEY,
    source_key       INTEGER NOT NULL REFERENCES source,
    id               TEXT NOT NULL,
    raw_version      INTEGER NOT NULL,         -- the version of raw that this row was made from
    readable         INTEGER NOT NULL,         -- 0 where the bytes could not be read at all
    title            TEXT,
    channel          TEXT,
    channel_raw      TEXT,
    status           TEXT,
    status_raw       TEXT,
    created_at       INTEGER,
    updated_at       INTEGER,
    contact_id       TEXT,
    contact_name     TEXT,
    contact_email    TEXT,
    contact_phone    TEXT,
    contact_company  TEXT,
    contact_address  TEXT,
    contact_website  TEXT,
    tags             TEXT,
    notes            TEXT,
    feedback         TEXT,
    extra            TEXT,
    derived          TEXT,
    message_count    INTEGER NOT NULL,
    UNIQUE (source_key, id)
) STRICT;

-- The order in which everything is read back.
CREATE INDEX conversation_in_order ON conversation (source_key, created_at, id);

CREATE TABLE message (
    conversation_key INTEGER NOT NULL REFERENCES conversation,
    position         INTEGER NOT NULL,         -- from 0, through the whole conversation
    id               TEXT,
    role             TEXT NOT NULL,
    role_raw         TEXT,
    created_at       INTEGER,
    text             TEXT NOT NULL,            -- the text parts, joined by a newline
    parts            TEXT,                     -- NULL where the text is the one part
    feedback         TEXT,
    score            REAL,
    extra            TEXT,
    PRIMARY KEY (conversation_key, position)
) STRICT, WITHOUT ROWID;

-- Every version of every conversation, byte for byte as the vendor sent it.
CREATE TABLE raw (
    raw_key          INTEGER PRIMARY KEY,
    conversation_key INTEGER NOT NULL REFERENCES conversation,
    version          INTEGER NOT NULL,         -- from 1
    surface          TEXT NOT NULL,            -- the part of the vendor's API: export, user
    run_key          INTEGER NOT NULL REFERENCES run,
    fetched_at       INTEGER NOT NULL,
    sha256           BLOB NOT NULL,            -- of the bytes before compression
    size             INTEGER NOT NULL,         -- of the bytes before compression
    zstd             BLOB NOT NULL,
    UNIQUE (conversation_key, version)
) STRICT;

-- What was not understood, counted by place: paths alone, never values.
CREATE TABLE issue (
    run_key             INTEGER NOT NULL REFERENCES run,
    kind                TEXT NOT NULL,
    place               TEXT NOT NULL,         -- the path without indices
    count               INTEGER NOT NULL,
    sample_conversation TEXT NOT NULL,
    sample_path         TEXT NOT NULL,
    PRIMARY KEY (run_key, kind, place)
) STRICT, WITHOUT ROWID;
