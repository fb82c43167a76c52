-- Who is who, and which conversations are twins, over the whole archive, in temporary tables.
-- temp.phone_owner and temp.id_owner hold the owners of numbers and ids, temp.twin_source the sources that show the same
-- agent of the same vendor: `family` and `place` in it.

CREATE TEMP TABLE person (record_key INTEGER PRIMARY KEY, person_key INTEGER NOT NULL, is_first INTEGER NOT NULL);
INSERT INTO person
    SELECT record_key, name, coalesce(began = min(began) OVER (PARTITION BY name), 0)
    FROM (
        SELECT record_key, began,
               coalesce(identifier.email, phone_owner.email, identifier.phone, id_owner.name, external_id, contact_id)
                   AS name
        FROM main.identifier LEFT JOIN phone_owner ON phone_owner.phone = identifier.phone
            LEFT JOIN id_owner ON id_owner.id = coalesce(external_id, contact_id))
    ORDER BY record_key;

CREATE TEMP TABLE twin (conversation_key INTEGER PRIMARY KEY, counted_as INTEGER NOT NULL);
INSERT INTO twin
    SELECT conversation_key, counted_as FROM (
        SELECT conversation_key,
               first_value(conversation_key) OVER (PARTITION BY family, id, created_at / 1000000 ORDER BY place)
                   AS counted_as,
               count(*) OVER (PARTITION BY family, id, created_at / 1000000) AS twins
        FROM temp.twin_source JOIN main.conversation USING (source_key)
        WHERE created_at IS NOT NULL)
    WHERE twins > 1
    ORDER BY conversation_key;

DROP TABLE phone_owner;
DROP TABLE id_owner;
DROP TABLE twin_source;
