-- What reports are made of, one temporary table for each kind of fact. Described in docs/schema.md.
--
-- temp.chosen holds the sources that were asked for, temp.bounds the window and the channel. talk.rs makes, in one pass:
-- temp.talk, what the messages of each conversation come to; temp.cells, each source, channel and day that occurs;
-- temp.message_cells and temp.responses, what adds up in each cell. local(microseconds, format) writes an instant
-- in the time zone of the report; fold(text) brings texts that say the same to one form.

-- People: one row for each conversation that tells who wrote. An e-mail address is a person's best name; a telephone
-- number that came with exactly one address is that person's too; a vendor's id is good within its source alone.
CREATE TEMP TABLE phone_owner AS
SELECT fold_phone(contact_phone) AS phone, min(lower(trim(contact_email))) AS email
FROM conversation
WHERE contact_phone IS NOT NULL AND trim(coalesce(contact_email, '')) <> ''
GROUP BY 1 HAVING count(DISTINCT lower(trim(contact_email))) = 1 AND phone <> '';

CREATE UNIQUE INDEX temp.phone_owner_by_phone ON phone_owner (phone);

CREATE TEMP TABLE person AS
SELECT conversation_key,
       CASE
           WHEN trim(coalesce(contact_email, '')) <> '' THEN 'email:' || lower(trim(contact_email))
           WHEN fold_phone(contact_phone) <> '' THEN coalesce('email:' || phone_owner.email, 'phone:' || fold_phone(contact_phone))
           ELSE 'source:' || conversation.source_key || ':' || contact_id
       END AS person,
       created_at
FROM conversation LEFT JOIN phone_owner ON phone_owner.phone = fold_phone(contact_phone)
WHERE source_key IN (SELECT source_key FROM temp.chosen)
    AND (trim(coalesce(contact_email, '')) <> '' OR fold_phone(contact_phone) <> '' OR contact_id IS NOT NULL);

CREATE INDEX temp.person_by_key ON person (conversation_key);

-- The first conversation of each person, whatever the window is.
CREATE TEMP TABLE first_contact AS
SELECT person, min(coalesce(created_at, 0)) AS created_at FROM person GROUP BY person;

CREATE UNIQUE INDEX temp.first_contact_by_person ON first_contact (person);

CREATE TEMP TABLE conversations AS
SELECT conversation.conversation_key AS key,
       chosen.source_key,
       chosen.name AS source,
       chosen.provider,
       conversation.id AS conversation_id,
       cell,
       coalesce(status, 'unknown') AS status,
       CAST(local(conversation.created_at, '%u') AS INTEGER) AS weekday,
       CAST(local(conversation.created_at, '%H') AS INTEGER) AS hour,
       CASE WHEN updated_at >= conversation.created_at THEN (updated_at - conversation.created_at) / 1e6 END AS duration_seconds,
       messages,
       user_messages,
       assistant_messages,
       human_messages,
       positive_messages,
       negative_messages,
       scored_messages,
       low_messages,
       dated_messages,
       tool_messages,
       coalesce(conversation.feedback, '') AS feedback,
       CASE WHEN status = 'taken_over' OR human_messages > 0 THEN 1 ELSE 0 END AS is_handed_over,
       CASE WHEN last_message.role = 'user' THEN 1 ELSE 0 END AS is_unanswered,
       fold(substr(first_message.text, 1, 400)) AS first_question,
       CASE WHEN last_message.role = 'user' THEN fold(substr(last_message.text, 1, 400)) END AS last_question,
       first_response_seconds,
       person.person,
       CASE WHEN person.person IS NOT NULL AND coalesce(conversation.created_at, 0) = first_contact.created_at THEN 1 ELSE 0 END AS is_first_contact
FROM talk JOIN conversation ON conversation.conversation_key = talk.key JOIN temp.chosen USING (source_key)
    LEFT JOIN message first_message
        ON first_message.conversation_key = conversation.conversation_key AND first_message.position = first_user_position
    LEFT JOIN message last_message
        ON last_message.conversation_key = conversation.conversation_key AND last_message.position = last_position
    LEFT JOIN person ON person.conversation_key = conversation.conversation_key
    LEFT JOIN first_contact ON first_contact.person = person.person;

CREATE UNIQUE INDEX temp.conversations_by_key ON conversations (key);

-- What each source tells at all, within the report: the others' numbers are not zero, they are not available.
CREATE TEMP TABLE sources AS
SELECT source_key, source, provider, count(*) AS conversations,
       max(weekday IS NOT NULL) AS tells_dates,
       max(status <> 'unknown' OR human_messages > 0) AS has_status,
       max(dated_messages > 0) AS tells_times,
       max(duration_seconds IS NOT NULL) AS tells_duration,
       max(feedback <> '' OR positive_messages > 0 OR negative_messages > 0) AS tells_feedback,
       max(scored_messages > 0) AS tells_scores,
       max(tool_messages > 0) AS tells_tools,
       max(person IS NOT NULL) AS tells_people
FROM conversations GROUP BY source_key;

CREATE UNIQUE INDEX temp.sources_by_key ON sources (source_key);

-- Each call of a tool with how it went, and each result whose call the vendor does not show.
CREATE TEMP TABLE tool_parts AS
SELECT conversations.key, conversations.cell, part.value ->> 'type' AS type, part.value ->> 'id' AS id,
       coalesce(part.value ->> 'name', 'unknown') AS tool, part.value ->> 'status' AS status
FROM conversations JOIN message ON message.conversation_key = conversations.key, json_each(message.parts) part
WHERE tool_messages > 0 AND parts IS NOT NULL AND part.value ->> 'type' IN ('tool_call', 'tool_result');

CREATE INDEX temp.tool_parts_by_id ON tool_parts (key, id);

CREATE TEMP TABLE tool_calls AS
SELECT cell, tool, coalesce(status, 'unknown') AS tool_status FROM tool_parts WHERE type = 'tool_result'
UNION ALL
SELECT cell, tool, 'no-result' FROM tool_parts call
WHERE type = 'tool_call' AND NOT EXISTS (
    SELECT 1 FROM tool_parts result
    WHERE result.key = call.key AND result.id = call.id AND result.type = 'tool_result');
