-- When people write: conversations by the weekday (1 is Monday) and the hour in which they began.
WITH begun AS (
    SELECT period, source, provider, channel, weekday, hour, count(*) AS conversations
    FROM conversation_report WHERE hour IS NOT NULL
    GROUP BY period, source, provider, channel, weekday, hour
)
SELECT period, source, provider, channel, 'conversations' AS metric, conversations AS value,
       sum(conversations) OVER (PARTITION BY period, source, provider, channel) AS basis, weekday, hour
FROM begun
ORDER BY 1, 2, 3, 4, 5, 8, 9
