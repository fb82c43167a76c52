-- What metrics are defined over, made of the conversations, messages and contacts of an archive in plain SQL.
--
-- local(microseconds, format) writes an instant in the time zone of the report; fold(text) brings texts that say the
-- same to one form; email(text) and phone(text) do so with identifiers; vendor(provider) leaves out the version.

-- Who spoke, in order. A note that the customer never saw is no speech.
CREATE TEMP TABLE speech AS
SELECT conversation_key AS key, position, role, created_at, text,
       lag(role) OVER speaking AS role_before, lag(created_at) OVER speaking AS created_at_before,
       row_number() OVER (PARTITION BY conversation_key ORDER BY position DESC) AS place_from_end
FROM message WHERE role IN ('user', 'assistant', 'human_agent') AND internal IS NOT 1
WINDOW speaking AS (PARTITION BY conversation_key ORDER BY position);

CREATE TEMP TABLE first_question AS
SELECT key, created_at, text, position FROM (
    SELECT *, row_number() OVER (PARTITION BY key ORDER BY position) AS place FROM speech WHERE role = 'user')
WHERE place = 1;

CREATE TEMP TABLE first_answer AS
SELECT key, created_at FROM (
    SELECT speech.*, row_number() OVER (PARTITION BY speech.key ORDER BY speech.position) AS place
    FROM speech JOIN first_question USING (key)
    WHERE speech.role <> 'user' AND speech.position > first_question.position)
WHERE place = 1;

-- Who is who: the identifiers of each conversation and of each person whom a vendor lists.
CREATE TEMP TABLE known AS
SELECT conversation_key AS key, source_key, email(contact_email) AS email, phone(contact_phone) AS phone,
       contact_id AS id, NULL AS external_id
FROM conversation
UNION ALL
SELECT contact_key, source_key, email(email), phone(phone), CASE stream WHEN 'leads' THEN 'leads/' ELSE '' END || id, external_id
FROM contact;

CREATE TEMP TABLE phone_owner AS
SELECT phone, min(email) AS email FROM known WHERE phone IS NOT NULL AND email IS NOT NULL
GROUP BY phone HAVING count(DISTINCT email) = 1;

CREATE TEMP TABLE reached AS
SELECT known.*, coalesce('email:' || known.email, 'email:' || phone_owner.email, 'phone:' || known.phone) AS name
FROM known LEFT JOIN phone_owner USING (phone);

CREATE TEMP TABLE id_owner AS
SELECT source_key, id, min(name) AS name
FROM (SELECT source_key, id, name FROM reached UNION ALL SELECT source_key, external_id, name FROM reached)
WHERE id IS NOT NULL AND name IS NOT NULL
GROUP BY source_key, id HAVING count(DISTINCT name) = 1;

CREATE TEMP TABLE whose AS
SELECT key, coalesce(reached.name, id_owner.name, 'id:' || reached.source_key || ':' || coalesce(external_id, reached.id)) AS person
FROM reached LEFT JOIN id_owner
    ON id_owner.source_key = reached.source_key AND id_owner.id = coalesce(external_id, reached.id);

CREATE TEMP TABLE first_contact AS
SELECT person, min(coalesce(created_at, 0)) AS created_at
FROM whose JOIN conversation ON conversation_key = key WHERE person IS NOT NULL GROUP BY person;

CREATE TEMP TABLE conversations AS
SELECT conversation.conversation_key AS key, source.name AS source, provider, coalesce(channel, 'unknown') AS channel,
       conversation.created_at,
       coalesce(status, 'unknown') AS status,
       CAST(local(conversation.created_at, '%u') AS INTEGER) AS weekday,
       CAST(local(conversation.created_at, '%H') AS INTEGER) AS hour,
       CASE WHEN updated_at >= conversation.created_at THEN (updated_at - conversation.created_at) / 1e6 END AS duration_seconds,
       (SELECT count(*) FROM message WHERE message.conversation_key = conversation.conversation_key) AS messages,
       (SELECT count(*) FROM message WHERE message.conversation_key = conversation.conversation_key AND message.created_at IS NOT NULL) AS dated_messages,
       (SELECT count(*) FROM speech WHERE key = conversation.conversation_key AND role = 'user') AS user_messages,
       (SELECT count(*) FROM speech WHERE key = conversation.conversation_key AND role = 'human_agent') AS human_messages,
       (SELECT count(*) FROM message WHERE message.conversation_key = conversation.conversation_key AND role = 'assistant' AND message.feedback = 'positive') AS positive_messages,
       (SELECT count(*) FROM message WHERE message.conversation_key = conversation.conversation_key AND role = 'assistant' AND message.feedback = 'negative') AS negative_messages,
       (SELECT count(*) FROM message WHERE message.conversation_key = conversation.conversation_key AND role = 'assistant' AND score IS NOT NULL) AS scored_messages,
       (SELECT count(*) FROM message WHERE message.conversation_key = conversation.conversation_key AND role = 'assistant' AND score < 0.5) AS low_messages,
       coalesce(conversation.feedback, '') AS feedback,
       coalesce(last.role = 'user', 0) AS is_unanswered,
       fold(first_question.text) AS first_question,
       CASE WHEN last.role = 'user' THEN fold(last.text) END AS last_question,
       CASE WHEN first_answer.created_at >= first_question.created_at
           THEN (first_answer.created_at - first_question.created_at) / 1e6 END AS first_response_seconds,
       whose.person,
       coalesce(coalesce(conversation.created_at, 0) = first_contact.created_at, 0) AS is_first_contact,
       -- The same conversation through a newer API of the same agent, or else in a source whose name comes before.
       EXISTS (
           SELECT 1 FROM conversation other JOIN source other_source ON other_source.source_key = other.source_key
           WHERE other.id = conversation.id AND other.created_at / 1000000 = conversation.created_at / 1000000
               AND other_source.agent_id = source.agent_id AND vendor(other_source.provider) = vendor(source.provider)
               AND (other_source.provider > source.provider
                    OR other_source.provider = source.provider AND other_source.name < source.name)) AS is_counted_elsewhere
FROM conversation JOIN source USING (source_key)
    LEFT JOIN first_question ON first_question.key = conversation.conversation_key
    LEFT JOIN first_answer ON first_answer.key = conversation.conversation_key
    LEFT JOIN speech last ON last.key = conversation.conversation_key AND place_from_end = 1
    LEFT JOIN whose ON whose.key = conversation.conversation_key
    LEFT JOIN first_contact USING (person);

-- Each call of a tool, and each result whose call the vendor does not show.
CREATE TEMP TABLE tool_parts AS
SELECT message.conversation_key AS key, message.position * 1000000 + part.key AS place, part.value ->> 'type' AS type,
       part.value ->> 'id' AS id, coalesce(part.value ->> 'name', 'unknown') AS tool,
       coalesce(part.value ->> 'status', 'unknown') AS status
FROM message, json_each(message.parts) part
WHERE part.value ->> 'type' IN ('tool_call', 'tool_result');

CREATE TEMP TABLE tool_calls AS
SELECT key, tool, status AS tool_status FROM tool_parts one
WHERE type = 'tool_result' AND NOT EXISTS (
    -- Of several results of one call, the last one counts.
    SELECT 1 FROM tool_parts call JOIN tool_parts later ON later.key = call.key AND later.id = call.id
    WHERE call.key = one.key AND call.id = one.id AND call.type = 'tool_call' AND call.place < one.place
        AND later.type = 'tool_result' AND later.place > one.place)
UNION ALL
SELECT key, tool, 'no-result' FROM tool_parts call
WHERE type = 'tool_call' AND NOT EXISTS (
    SELECT 1 FROM tool_parts result
    WHERE result.key = call.key AND result.id = call.id AND result.type = 'tool_result' AND result.place > call.place);

-- What each source tells at all: the others' numbers are not zero, they are not available.
CREATE TEMP TABLE sources AS
SELECT source, max(status <> 'unknown' OR human_messages > 0) AS has_status,
       max(feedback <> '' OR positive_messages > 0 OR negative_messages > 0) AS has_feedback,
       max(scored_messages > 0) AS has_scores
FROM conversations GROUP BY source;

CREATE INDEX temp.conversations_by_key ON conversations (key);
