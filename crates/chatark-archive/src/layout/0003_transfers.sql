-- The archive, version 3: people apart from conversations, and where everything went that was carried elsewhere.

-- Every version of every person whom a vendor lists apart from conversations, with the bytes as the vendor sent them.
CREATE TABLE listed_contact (
    contact_key  INTEGER PRIMARY KEY,
    source_key   INTEGER NOT NULL REFERENCES source,
    list         TEXT NOT NULL,                -- the vendor's list: contacts, leads
    id           TEXT NOT NULL,                -- the vendor's id; the hash of the bytes where it has none
    version      INTEGER NOT NULL,             -- from 1
    is_latest    INTEGER NOT NULL,             -- 1 for the latest version
    external_id  TEXT,                         -- the id under which other systems know the person
    name         TEXT,
    email        TEXT,
    phone        TEXT,
    company      TEXT,
    address      TEXT,
    website      TEXT,
    created_at   INTEGER,
    updated_at   INTEGER,
    extra        TEXT,
    run_key      INTEGER NOT NULL REFERENCES run,
    fetched_at   INTEGER NOT NULL,
    sha256       BLOB NOT NULL,                -- of the bytes before compression
    size         INTEGER NOT NULL,             -- of the bytes before compression
    zstd         BLOB NOT NULL,
    UNIQUE (source_key, list, id, version)
) STRICT;

CREATE INDEX latest_contact ON listed_contact (source_key, list, id) WHERE is_latest = 1;

-- Everything that was carried to a target, or was about to be: the ledger of migrations.
CREATE TABLE transfer (
    target          TEXT NOT NULL,             -- provider and agent, such as `convocore-v3 agent1`
    cargo           TEXT NOT NULL,             -- history, contacts, knowledge
    mark            TEXT NOT NULL,             -- what tells it from others of its kind; the same in every run
    sign            TEXT NOT NULL,             -- the text by which it is found again at the target
    state           TEXT NOT NULL,             -- intended, created, done, refused
    target_id       TEXT,                      -- the target's id, where it tells one
    source          TEXT,                      -- of a conversation: the source …
    conversation_id TEXT,                      -- … and the id there
    messages        INTEGER NOT NULL,          -- how many messages it carries
    sha256          BLOB NOT NULL,             -- of what was sent
    error           TEXT,                      -- what the vendor said, where it refused
    changed_at      INTEGER NOT NULL,
    PRIMARY KEY (target, cargo, mark)
) STRICT, WITHOUT ROWID;

CREATE INDEX transfer_by_sign ON transfer (target, cargo, sign);
CREATE INDEX transfer_by_id ON transfer (target, cargo, target_id) WHERE target_id IS NOT NULL;
