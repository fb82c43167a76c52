-- Writes the rows that differ from those in the archive.
DELETE FROM main.person WHERE record_key NOT IN (SELECT record_key FROM temp.person);
INSERT OR REPLACE INTO main.person
    SELECT found.* FROM temp.person found LEFT JOIN main.person held USING (record_key)
    WHERE held.person_key IS NOT found.person_key OR held.is_first IS NOT found.is_first;
DELETE FROM main.twin WHERE conversation_key NOT IN (SELECT conversation_key FROM temp.twin);
INSERT OR REPLACE INTO main.twin
    SELECT found.* FROM temp.twin found LEFT JOIN main.twin held USING (conversation_key)
    WHERE held.counted_as IS NOT found.counted_as;
UPDATE archive SET persons_outdated = 0;
DROP TABLE temp.person;
DROP TABLE temp.twin;
