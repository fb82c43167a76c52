-- The views that metrics are defined over, for one way of grouping: {period} of an instant, {source} and {channel}.
DROP VIEW IF EXISTS temp.conversation_report;
DROP VIEW IF EXISTS temp.message_report;
DROP VIEW IF EXISTS temp.response_report;
DROP VIEW IF EXISTS temp.tool_report;
DROP TABLE IF EXISTS temp.group_keys;

CREATE TEMP TABLE group_keys AS
SELECT row_number() OVER () AS group_key, * FROM (
    SELECT {period:created_at} AS period, {source} AS source, {provider} AS provider, {channel} AS channel FROM conversations
    UNION
    SELECT {period:at}, {source}, {provider}, {channel}
    FROM (SELECT conversations.*, coalesce(message.created_at, conversations.created_at) AS at
          FROM conversations JOIN message ON message.conversation_key = key) AS conversations);
CREATE UNIQUE INDEX temp.group_keys_by_name ON group_keys (period, source, provider, channel);

CREATE TEMP VIEW conversation_report AS
SELECT group_keys.group_key, conversations.*, conversations.provider AS vendor, has_status, has_feedback, has_scores,
       CASE WHEN status = 'taken_over' OR human_messages > 0 THEN 1 ELSE 0 END AS is_handed_over
FROM conversations JOIN sources ON sources.source = conversations.source
    JOIN group_keys ON group_keys.period = {period:created_at} AND group_keys.source = {source} AND group_keys.provider = {provider}
        AND group_keys.channel = {channel}
WHERE {counted};

CREATE TEMP VIEW message_report AS
SELECT group_keys.group_key, count(*) AS messages
FROM (SELECT conversations.*, coalesce(message.created_at, conversations.created_at) AS at
      FROM conversations JOIN message ON message.conversation_key = key) AS conversations
    JOIN group_keys ON group_keys.period = {period:at} AND group_keys.source = {source} AND group_keys.provider = {provider}
        AND group_keys.channel = {channel}
WHERE {counted} GROUP BY group_keys.group_key;

CREATE TEMP VIEW response_report AS
SELECT group_key, (speech.created_at - created_at_before) / 1e6 AS response_seconds, 1 AS times
FROM speech JOIN conversation_report USING (key)
WHERE role = 'assistant' AND role_before = 'user' AND speech.created_at >= created_at_before;

CREATE TEMP VIEW tool_report AS
SELECT group_key, tool, tool_status FROM tool_calls JOIN conversation_report USING (key);
