-- When people write: conversations by the weekday (1 is Monday) and the hour in which they began.
WITH begun AS (
    SELECT slot, weekday, hour, count(*) AS conversations
    FROM conversation_report WHERE hour IS NOT NULL
    GROUP BY slot, weekday, hour
)
SELECT slot, 'conversations' AS metric, conversations AS value,
       sum(conversations) OVER (PARTITION BY slot) AS basis, weekday, hour
FROM begun
