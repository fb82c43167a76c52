-- Conversations by status, and messages. A message counts in the period in which it was written.
SELECT period, source, provider, channel, 'conversations' AS metric, count(*) AS value, count(*) AS basis, status
FROM conversation_report
GROUP BY period, source, provider, channel, status
UNION ALL
SELECT period, source, provider, channel, 'messages', sum(messages), sum(messages), ''
FROM message_report
GROUP BY period, source, provider, channel
ORDER BY 1, 2, 3, 4, 5, 8
