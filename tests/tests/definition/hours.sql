-- When people write: conversations by the weekday (1 is Monday) and the hour in which they began.
WITH begun AS (
    SELECT group_key, weekday, hour, count(*) AS conversations
    FROM conversation_report WHERE hour IS NOT NULL
    GROUP BY group_key, weekday, hour
)
SELECT group_key, 'conversations' AS metric, conversations AS value,
       sum(conversations) OVER (PARTITION BY group_key) AS basis, weekday, hour
FROM begun
