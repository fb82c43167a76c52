-- The archive as a new file has it: what the migrations come to, layout 5. A test compares both.
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
    messages      INTEGER NOT NULL DEFAULT 0,
    state         TEXT NOT NULL DEFAULT 'active',  -- active, retired
    former_names  TEXT,                        -- a JSON list
    checksum      BLOB                         -- of this row
) STRICT;

-- One pull or rebuild of one stream of a source: the run log.
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
    issues        INTEGER NOT NULL DEFAULT 0,
    effort        TEXT NOT NULL DEFAULT 'full',
    swept_from    INTEGER,                     -- when the sweep began, that of a resumed run with its first run
    missing       INTEGER NOT NULL DEFAULT 0,  -- conversations that the run marked as missing
    returned      INTEGER NOT NULL DEFAULT 0,  -- missing ones that it saw again
    archived      INTEGER,                     -- of the source at the run's end, the missing ones included
    stream        TEXT NOT NULL DEFAULT 'conversations',
    checksum      BLOB                         -- of this row
) STRICT;

CREATE INDEX run_of_source ON run (source_key, run_key);

-- The messages of every conversation, in order.
CREATE TABLE message (
    conversation_key INTEGER NOT NULL REFERENCES record,
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
    author_kind      TEXT,                     -- where that does not follow from the role
    author_id        TEXT,
    author_name      TEXT,
    internal         INTEGER,                  -- 1 for a note for the team alone, else NULL
    message_key      INTEGER GENERATED ALWAYS AS (conversation_key * 1048576 + position) VIRTUAL,
    PRIMARY KEY (conversation_key, position)
) STRICT, WITHOUT ROWID;

-- Every version of every record, byte for byte as the vendor sent it.
CREATE TABLE raw (
    raw_key          INTEGER PRIMARY KEY,
    record_key       INTEGER NOT NULL REFERENCES record,
    version          INTEGER NOT NULL,         -- from 1
    surface          TEXT NOT NULL,            -- the part of the vendor's API: export, user
    run_key          INTEGER NOT NULL REFERENCES run,
    fetched_at       INTEGER NOT NULL,
    sha256           BLOB NOT NULL,            -- of the bytes before compression
    size             INTEGER NOT NULL,         -- of the bytes before compression
    zstd             BLOB NOT NULL,
    conversation_key INTEGER GENERATED ALWAYS AS (record_key) VIRTUAL,  -- its name while every record was one
    UNIQUE (record_key, version)
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
    adopted         INTEGER NOT NULL DEFAULT 0, -- 1 where it was found at the target and taken over
    updated_at      INTEGER,                   -- when it was last updated at the target
    checksum        BLOB,                      -- of this row
    PRIMARY KEY (target, cargo, mark)
) STRICT, WITHOUT ROWID;

CREATE INDEX transfer_by_sign ON transfer (target, cargo, sign);

CREATE INDEX transfer_by_id ON transfer (target, cargo, target_id) WHERE target_id IS NOT NULL;

-- One row: what this archive is called, and how often something in it has changed.
CREATE TABLE archive (
    archive_id TEXT NOT NULL,                  -- random: tells this archive from others
    changes    INTEGER NOT NULL,               -- counts the transactions that changed a record
    is_derived INTEGER NOT NULL,               -- 0 until statistics and identifiers of an older layout's rows are filled
    persons_outdated INTEGER NOT NULL          -- 1 where an identifier changed since persons were resolved
) STRICT;

-- What the bytes of a conversation come to.
CREATE TABLE conversation (
    conversation_key INTEGER PRIMARY KEY REFERENCES record,
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
    missing_since    INTEGER,                  -- when a full sweep first did not see it any more; its rows stay
    rating_value     REAL,
    rating_scale     REAL,                     -- the best possible rating: 5 for five stars
    mapping          INTEGER NOT NULL,         -- the version of the mapping rules that made this row
    checksum         BLOB                      -- of this row and its messages
) STRICT;

-- The order in which everything is read back.
CREATE INDEX conversation_in_order ON conversation (source_key, created_at, id);

CREATE INDEX conversation_missing ON conversation (source_key, id) WHERE missing_since IS NOT NULL;

-- One record of a stream, whatever versions of it there are.
CREATE TABLE record (
    record_key    INTEGER PRIMARY KEY,
    source_key    INTEGER NOT NULL REFERENCES source,
    stream        TEXT NOT NULL,               -- conversations, contacts, leads, messages, tickets
    parent        TEXT NOT NULL,               -- the id of the document that this is a part of; '' for a document
    id            TEXT NOT NULL,               -- the vendor's id; the hash of the bytes where it has none
    ordinal       INTEGER,                     -- of a part: its place; NULL where it is no longer a part
    change        INTEGER NOT NULL,            -- archive.changes when it last changed
    unseen_since  INTEGER,                     -- when a full sweep first did not see it
    UNIQUE (source_key, stream, parent, id)
) STRICT;

-- Records that the latest full sweep did not list.
CREATE INDEX record_unseen ON record (source_key, stream, id) WHERE unseen_since IS NOT NULL;

-- What the bytes of a person come to whom a vendor lists apart from conversations.
CREATE TABLE contact (
    contact_key   INTEGER PRIMARY KEY REFERENCES record,
    source_key    INTEGER NOT NULL REFERENCES source,
    stream        TEXT NOT NULL,               -- the vendor's list: contacts, leads
    id            TEXT NOT NULL,
    raw_version   INTEGER NOT NULL,            -- the version of raw that this row was made from
    readable      INTEGER NOT NULL,            -- 0 where the bytes could not be read at all
    external_id   TEXT,                        -- the id under which other systems know the person
    name          TEXT,
    email         TEXT,
    phone         TEXT,
    company       TEXT,
    address       TEXT,
    website       TEXT,
    created_at    INTEGER,
    updated_at    INTEGER,
    extra         TEXT,
    missing_since INTEGER,                     -- when a full sweep first did not see the person any more
    mapping       INTEGER NOT NULL,            -- the version of the mapping rules that made this row
    checksum      BLOB                         -- of this row
) STRICT;

CREATE INDEX contact_in_order ON contact (source_key, stream, id);

-- The numbers of each conversation that metrics are computed from: inputs, not verdicts. Lists are JSON.
CREATE TABLE conversation_stats (
    conversation_key        INTEGER PRIMARY KEY REFERENCES record,
    messages                INTEGER NOT NULL,
    user_messages           INTEGER NOT NULL,
    assistant_messages      INTEGER NOT NULL,
    human_agent_messages    INTEGER NOT NULL,
    system_messages         INTEGER NOT NULL,
    tool_messages           INTEGER NOT NULL,
    internal_notes          INTEGER NOT NULL,  -- notes that the customer never saw; they count as messages alone
    dated_messages          INTEGER NOT NULL,  -- messages with a time
    first_speaker           TEXT,              -- user, assistant, human_agent
    last_speaker            TEXT,
    first_question_position INTEGER,           -- of the customer's first message
    last_position           INTEGER,           -- of the last speaker's message
    first_question          INTEGER,           -- a number that questions have in common if they say the same
    unanswered_question     INTEGER,           -- the same of the last message, where it is the customer's
    first_response_seconds  REAL,
    bot_responses           TEXT,              -- seconds of each response of the bot
    agent_responses         TEXT,              -- seconds of each response of a human agent
    positive_messages       INTEGER NOT NULL,  -- answers of the bot with positive feedback
    negative_messages       INTEGER NOT NULL,
    scores                  TEXT,              -- of each answer of the bot that has one
    tools                   TEXT,              -- [name, status, count] of calls of tools
    quarters                TEXT               -- messages of another quarter of an hour than the first: its number, count, …
) STRICT;

-- What tells the customer of a record from others: numbers that the same identifier has in common. They tell nothing
-- of whose they are; the identifiers themselves are in `conversation` and `contact`.
CREATE TABLE identifier (
    record_key  INTEGER PRIMARY KEY REFERENCES record,
    email       INTEGER,
    phone       INTEGER,
    contact_id  INTEGER,
    external_id INTEGER,
    began       INTEGER                        -- of a conversation: when it began, 0 where it has no date
) STRICT;

-- Whose a conversation or listed contact is, over all identifiers of the archive; made anew at the end of a session.
CREATE TABLE person (
    record_key INTEGER PRIMARY KEY REFERENCES record,
    person_key INTEGER NOT NULL,               -- the number of the identifier that the person goes by
    is_first   INTEGER NOT NULL                -- 1 where the archive holds no earlier conversation of the person
) STRICT;

-- Conversations that several sources show, which vendor, agent, id and creation time prove to be the same.
CREATE TABLE twin (
    conversation_key INTEGER PRIMARY KEY REFERENCES record,
    counted_as       INTEGER NOT NULL          -- the one of them that totals count
) STRICT;

-- The place to go on from: durable with the conversations before it, gone when a sweep ends.
CREATE TABLE checkpoint (
    source_key  INTEGER NOT NULL REFERENCES source,
    stream      TEXT NOT NULL,
    scope       TEXT NOT NULL,
    cursor      TEXT NOT NULL,
    seen        INTEGER NOT NULL,              -- different records in the sweep so far
    total_first INTEGER,
    saved_at    INTEGER NOT NULL,
    effort      TEXT NOT NULL,
    swept_from  INTEGER,
    PRIMARY KEY (source_key, stream, scope)
) STRICT, WITHOUT ROWID;

-- The ids that an unfinished sweep has seen, a row for each batch: a later run counts on from there. Gone when it ends.
CREATE TABLE sighting (
    source_key INTEGER NOT NULL REFERENCES source,
    stream     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    batch      INTEGER NOT NULL,               -- from 1
    ids        TEXT NOT NULL,                  -- a JSON list
    PRIMARY KEY (source_key, stream, scope, batch)
) STRICT, WITHOUT ROWID;

-- When full sweeps of a scope began and came to their end: what says when the next one is due.
CREATE TABLE sweep_clock (
    source_key INTEGER NOT NULL REFERENCES source,
    stream     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    full_from  INTEGER,                        -- the beginning of the latest full sweep that came to its end
    any_from   INTEGER,                        -- the same of the latest sweep of any mode
    newest_change    INTEGER,                  -- the latest change that the vendor showed in a sweep, by its clock
    confirmed_change INTEGER,                  -- the latest one up to which a later sweep has looked again
    rotation   TEXT,                           -- how far the rotation through a list of rows has come: a sealed cursor
    rotated_at INTEGER,                        -- when that was saved
    PRIMARY KEY (source_key, stream, scope)
) STRICT, WITHOUT ROWID;

-- A place in a stream that could not be read, with its bounds.
CREATE TABLE gap (
    gap_key     INTEGER PRIMARY KEY,
    source_key  INTEGER NOT NULL REFERENCES source,
    stream      TEXT NOT NULL,
    scope       TEXT NOT NULL,
    bounds      TEXT NOT NULL,                 -- JSON: the window, page, cursor or ids that cannot be read
    error       TEXT NOT NULL,                 -- what the vendor said
    found_at    INTEGER NOT NULL,
    tried_at    INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    accepted_at INTEGER,                       -- when the user said that it may stay
    closed_at   INTEGER,                       -- when it was read after all
    checksum    BLOB
) STRICT;

CREATE INDEX gap_of_source ON gap (source_key, stream, scope) WHERE closed_at IS NULL;

-- What is held of a stream, and what that was proved against.
CREATE TABLE coverage (
    source_key INTEGER NOT NULL REFERENCES source,
    stream     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    since      INTEGER,                        -- the span of time that is held; NULL where it is open
    until      INTEGER,
    run_key    INTEGER NOT NULL REFERENCES run,  -- the sweep that it comes from
    swept_from INTEGER,                        -- when that sweep began
    counted    INTEGER,                        -- the vendor's own count
    seen       INTEGER NOT NULL,               -- records that the sweep saw
    proved_at  INTEGER,                        -- when both agreed
    checksum   BLOB,
    PRIMARY KEY (source_key, stream, scope)
) STRICT, WITHOUT ROWID;

-- What the deployment behind a source was found to support.
CREATE TABLE deployment_feature (
    source_key INTEGER NOT NULL REFERENCES source,
    feature    TEXT NOT NULL,
    supported  INTEGER NOT NULL,
    found_at   INTEGER NOT NULL,
    PRIMARY KEY (source_key, feature)
) STRICT, WITHOUT ROWID;

-- The latest row of the vendor's list for a record, where a list and the records themselves come apart.
CREATE TABLE list_row (
    record_key INTEGER PRIMARY KEY REFERENCES record,
    seen_at    INTEGER NOT NULL,
    row        TEXT NOT NULL                   -- the vendor's JSON
) STRICT;

-- Records whose bytes or rows were found damaged.
CREATE TABLE damage (
    record_key INTEGER PRIMARY KEY REFERENCES record,
    what       TEXT NOT NULL,
    found_at   INTEGER NOT NULL
) STRICT;

-- Pictures, files and sounds that messages point to.
CREATE TABLE media (
    media_key    INTEGER PRIMARY KEY,
    record_key   INTEGER NOT NULL REFERENCES record,
    position     INTEGER,                      -- of the message
    url          TEXT NOT NULL,
    content_type TEXT,
    sha256       BLOB,                         -- of the bytes, where they were fetched
    size         INTEGER,
    bytes        BLOB,
    fetched_at   INTEGER,
    error        TEXT
) STRICT;

-- Every version of every contact, as queries have known it.
CREATE VIEW listed_contact AS
    SELECT contact_key, contact.source_key, stream AS list, id, version, version = raw_version AS is_latest, external_id,
           name, email, phone, company, address, website, created_at, updated_at, extra, run_key, fetched_at, sha256,
           size, zstd
    FROM contact JOIN raw ON raw.record_key = contact_key;

INSERT INTO archive VALUES (lower(hex(randomblob(16))), 1, 1, 0);
