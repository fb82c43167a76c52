-- The identifiers of every record, as texts and as numbers, and whose they are.
WITH given AS (
    SELECT conversation_key AS record_key, source_key, 'conversations' AS stream, contact_email AS email,
           contact_phone AS phone, contact_id, NULL AS external_id
    FROM conversation
    UNION ALL
    SELECT contact_key, source_key, stream, email, phone, id, external_id FROM contact)
SELECT source.name, given.stream,
       given.email, identifier.email, NULL,
       given.phone, identifier.phone, phone_owner.email,
       given.contact_id, identifier.contact_id, contact_owner.name,
       given.external_id, identifier.external_id, external_owner.name
FROM given CROSS JOIN identifier USING (record_key) CROSS JOIN source USING (source_key)
    LEFT JOIN phone_owner ON phone_owner.phone = identifier.phone
    LEFT JOIN id_owner contact_owner ON contact_owner.id = identifier.contact_id
    LEFT JOIN id_owner external_owner ON external_owner.id = identifier.external_id
