-- The owner of each telephone number and of each vendor's id, over the whole archive, in temporary tables.

-- Telephone numbers that came with exactly one address.
CREATE TEMP TABLE phone_owner (phone INTEGER PRIMARY KEY, email INTEGER NOT NULL);
INSERT INTO phone_owner
    SELECT phone, min(email) FROM main.identifier WHERE phone IS NOT NULL AND email IS NOT NULL
    GROUP BY phone HAVING min(email) = max(email);

-- Vendors' ids that came with exactly one address or number.
CREATE TEMP TABLE id_owner (id INTEGER PRIMARY KEY, name INTEGER NOT NULL);
INSERT INTO id_owner
    SELECT id, min(name) FROM (
        SELECT contact_id AS id, coalesce(identifier.email, phone_owner.email, identifier.phone) AS name
        FROM main.identifier LEFT JOIN phone_owner ON phone_owner.phone = identifier.phone
        UNION ALL
        SELECT external_id, coalesce(identifier.email, phone_owner.email, identifier.phone)
        FROM main.identifier LEFT JOIN phone_owner ON phone_owner.phone = identifier.phone
        WHERE external_id IS NOT NULL)
    WHERE id IS NOT NULL AND name IS NOT NULL
    GROUP BY id HAVING min(name) = max(name);
