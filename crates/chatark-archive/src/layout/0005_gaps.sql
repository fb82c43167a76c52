-- The archive, version 5: full sweeps are remembered apart from the verdicts of runs, and gaps are found by their place.

-- The latest time of a change that the vendor showed in a sweep, by the vendor's clock.
ALTER TABLE sweep_clock ADD COLUMN newest_change INTEGER;
-- The latest such time up to which a later sweep has looked again: what was read in the second of its latest change may
-- have changed once more.
ALTER TABLE sweep_clock ADD COLUMN confirmed_change INTEGER;
-- How far the rotation through a list of rows has come, as a sealed cursor, and when that was saved.
ALTER TABLE sweep_clock ADD COLUMN rotation TEXT;
ALTER TABLE sweep_clock ADD COLUMN rotated_at INTEGER;

INSERT OR IGNORE INTO sweep_clock (source_key, stream, scope, full_from, any_from)
    SELECT source_key, stream, scope, max(CASE WHEN effort = 'full' THEN swept_from END), max(swept_from)
    FROM run
    WHERE kind = 'pull' AND swept_from IS NOT NULL AND verdict IN ('complete', 'grew-during-run', 'unprovable')
    GROUP BY source_key, stream, scope;

-- Records that the latest full sweep did not list.
CREATE INDEX record_unseen ON record (source_key, stream, id) WHERE unseen_since IS NOT NULL;
