-- Conversations by status, and messages. A message counts in the period in which it was written.
SELECT slot, 'conversations' AS metric, count(*) AS value, count(*) AS basis, status
FROM conversation_report
GROUP BY slot, status
UNION ALL
SELECT slot, 'messages', sum(messages), sum(messages), ''
FROM message_report
GROUP BY slot
