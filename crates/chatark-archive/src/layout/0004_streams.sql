-- The archive, version 4: all streams of records in one place, each derived fact once, and room for what is known of
-- coverage.
--
-- Runs with foreign keys off; they are checked before the transaction ends. `raw` and `message` stay where they are:
-- nothing large is copied. Columns keep the names under which they have been documented.

-- One row: what this archive is called, and how often something in it has changed.
CREATE TABLE archive (
    archive_id TEXT NOT NULL,                  -- random: tells this archive from others
    changes    INTEGER NOT NULL,               -- counts the transactions that changed a record
    is_derived INTEGER NOT NULL,               -- 0 until statistics and identifiers of an older layout's rows are filled
    persons_outdated INTEGER NOT NULL          -- 1 where an identifier changed since persons were resolved
) STRICT;
INSERT INTO archive VALUES (lower(hex(randomblob(16))), 1, 0, 1);

ALTER TABLE source ADD COLUMN state TEXT NOT NULL DEFAULT 'active';  -- active, retired
ALTER TABLE source ADD COLUMN former_names TEXT;                     -- a JSON list
ALTER TABLE source ADD COLUMN checksum BLOB;                         -- of the row

-- One record of a stream, whatever versions of it there are.
-- The table of conversations lends its name first, so that `raw` and `message` refer to records from here on.
ALTER TABLE conversation RENAME TO record;
DROP INDEX conversation_in_order;
DROP INDEX conversation_missing;

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
INSERT INTO conversation
    SELECT conversation_key, source_key, id, raw_version, readable, title, channel, channel_raw, status, status_raw,
           created_at, updated_at, contact_id, contact_name, contact_email, contact_phone, contact_company,
           contact_address, contact_website, tags, notes, feedback, extra, derived, message_count, missing_since,
           NULL, NULL, 1, NULL
    FROM record;
-- The order in which everything is read back.
CREATE INDEX conversation_in_order ON conversation (source_key, created_at, id);
CREATE INDEX conversation_missing ON conversation (source_key, id) WHERE missing_since IS NOT NULL;

CREATE TABLE new_record (
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
INSERT INTO new_record
    SELECT conversation_key, source_key, 'conversations', '', id, NULL, 1, missing_since FROM record;
DROP TABLE record;
ALTER TABLE new_record RENAME TO record;

ALTER TABLE raw RENAME COLUMN conversation_key TO record_key;
-- The same number under the name that it had while every record was a conversation.
ALTER TABLE raw ADD COLUMN conversation_key INTEGER GENERATED ALWAYS AS (record_key) VIRTUAL;

-- Who wrote a message, where that does not follow from its role, and whether it is a note for the team alone.
ALTER TABLE message ADD COLUMN author_kind TEXT;
ALTER TABLE message ADD COLUMN author_id TEXT;
ALTER TABLE message ADD COLUMN author_name TEXT;
ALTER TABLE message ADD COLUMN internal INTEGER;     -- 1 for such a note, else NULL
-- One number for each message, as a search index wants it: it leads back to conversation and position.
ALTER TABLE message ADD COLUMN message_key INTEGER
    GENERATED ALWAYS AS (conversation_key * 1048576 + position) VIRTUAL;

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

-- The version with the highest number is the latest, whatever is said of it.
INSERT INTO record (source_key, stream, parent, id, change)
    SELECT source_key, list, '', id, 1 FROM listed_contact GROUP BY source_key, list, id ORDER BY min(contact_key);
INSERT INTO raw (record_key, version, surface, run_key, fetched_at, sha256, size, zstd)
    SELECT record.record_key, version, 'export', run_key, fetched_at, sha256, size, zstd
    FROM listed_contact JOIN record ON record.source_key = listed_contact.source_key AND record.stream = list
        AND record.parent = '' AND record.id = listed_contact.id
    ORDER BY contact_key;
INSERT INTO contact
    SELECT record.record_key, listed_contact.source_key, list, listed_contact.id, version,
           coalesce(extra, '') NOT LIKE '{"unreadable":%', external_id, name, email, phone, company, address, website,
           created_at, updated_at, extra, NULL, 1, NULL
    FROM listed_contact JOIN record ON record.source_key = listed_contact.source_key AND record.stream = list
        AND record.parent = '' AND record.id = listed_contact.id
    WHERE version = (SELECT max(version) FROM raw WHERE raw.record_key = record.record_key);
DROP TABLE listed_contact;
-- Every version of every contact, as queries have known it.
CREATE VIEW listed_contact AS
    SELECT contact_key, contact.source_key, stream AS list, id, version, version = raw_version AS is_latest, external_id,
           name, email, phone, company, address, website, created_at, updated_at, extra, run_key, fetched_at, sha256,
           size, zstd
    FROM contact JOIN raw ON raw.record_key = contact_key;

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

-- A run, a checkpoint and what a sweep has seen are those of one stream.
ALTER TABLE run ADD COLUMN stream TEXT NOT NULL DEFAULT 'conversations';
ALTER TABLE run ADD COLUMN checksum BLOB;                            -- of the row, once the run has ended
UPDATE run SET stream = 'contacts' WHERE kind = 'contacts' OR scope = 'contacts';
UPDATE run SET kind = 'pull' WHERE kind = 'contacts';

CREATE TABLE new_checkpoint (
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
INSERT INTO new_checkpoint
    SELECT source_key, 'conversations', scope, cursor, seen, total_first, saved_at, effort, swept_from FROM checkpoint;
DROP TABLE checkpoint;
ALTER TABLE new_checkpoint RENAME TO checkpoint;

CREATE TABLE new_sighting (
    source_key INTEGER NOT NULL REFERENCES source,
    stream     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    batch      INTEGER NOT NULL,               -- from 1
    ids        TEXT NOT NULL,                  -- a JSON list
    PRIMARY KEY (source_key, stream, scope, batch)
) STRICT, WITHOUT ROWID;
INSERT INTO new_sighting SELECT source_key, 'conversations', scope, batch, ids FROM sighting;
DROP TABLE sighting;
ALTER TABLE new_sighting RENAME TO sighting;

-- When full sweeps of a scope began and came to their end: what says when the next one is due.
CREATE TABLE sweep_clock (
    source_key INTEGER NOT NULL REFERENCES source,
    stream     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    full_from  INTEGER,                        -- the beginning of the latest full sweep that came to its end
    any_from   INTEGER,                        -- the same of the latest sweep of any mode
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

-- The ledger of migrations: found at the target and taken over, and last updated there.
ALTER TABLE transfer ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transfer ADD COLUMN updated_at INTEGER;
ALTER TABLE transfer ADD COLUMN checksum BLOB;                       -- of the row
