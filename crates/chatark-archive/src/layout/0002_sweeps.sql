-- The archive, version 2: pulls that read what changed, and conversations that a vendor no longer shows.

-- How much a run read: full (everything), changes (what a list of summaries shows as changed), recent (what began lately).
ALTER TABLE run ADD COLUMN effort TEXT NOT NULL DEFAULT 'full';
-- When the sweep began that the run ended or went on with. NULL where an older version resumed one.
ALTER TABLE run ADD COLUMN swept_from INTEGER;
-- Conversations that the run marked as missing, and missing ones that it saw again.
ALTER TABLE run ADD COLUMN missing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN returned INTEGER NOT NULL DEFAULT 0;
-- Conversations of the source that the archive held at the run's end, the missing ones included.
ALTER TABLE run ADD COLUMN archived INTEGER;
UPDATE run SET swept_from = started_at WHERE resumed = 0;

ALTER TABLE checkpoint ADD COLUMN effort TEXT NOT NULL DEFAULT 'full';
ALTER TABLE checkpoint ADD COLUMN swept_from INTEGER;

-- When a sweep of everything first did not see the conversation any more. Its rows stay.
ALTER TABLE conversation ADD COLUMN missing_since INTEGER;
CREATE INDEX conversation_missing ON conversation (source_key, id) WHERE missing_since IS NOT NULL;

-- The ids that an unfinished sweep has seen, a row for each batch: a later run counts on from there. Gone when it ends.
CREATE TABLE sighting (
    source_key INTEGER NOT NULL REFERENCES source,
    scope      TEXT NOT NULL,
    batch      INTEGER NOT NULL,  -- from 1
    ids        TEXT NOT NULL,     -- a JSON list
    PRIMARY KEY (source_key, scope, batch)
) STRICT, WITHOUT ROWID;
