-- Conversations by status, and messages. A message counts in the period in which it was written.
SELECT group_key, 'conversations' AS metric, count(*) AS value, count(*) AS basis, status
FROM conversation_report
GROUP BY group_key, status
UNION ALL
SELECT group_key, 'messages', sum(messages), sum(messages), ''
FROM message_report
GROUP BY group_key
