-- How long conversations are: in messages, and in seconds from their beginning to the last thing that happened.
WITH talks AS (
    SELECT group_key, messages * 1.0 AS length, count(*) AS times FROM conversation_report GROUP BY group_key, messages
), durations AS (
    SELECT group_key, duration_seconds AS length, count(*) AS times
    FROM conversation_report WHERE duration_seconds IS NOT NULL
    GROUP BY group_key, duration_seconds
), lengths AS (
    SELECT group_key, 'messages_per_conversation' AS metric, length, times FROM talks
    UNION ALL SELECT group_key, 'duration_seconds', length, times FROM durations
), ranked AS (
    SELECT group_key, metric, length,
           sum(times) OVER (PARTITION BY group_key, metric ORDER BY length) AS up_to,
           sum(times) OVER (PARTITION BY group_key, metric) AS basis
    FROM lengths
), percents AS (
    SELECT 50 AS percent, '_median' AS name UNION ALL SELECT 90, '_p90'
)
SELECT group_key, metric || name AS metric, min(length) AS value, basis
FROM ranked JOIN percents ON up_to >= (basis * percent + 99) / 100
GROUP BY group_key, metric || name, basis
UNION ALL
SELECT group_key, metric || '_mean', sum(length * times) / sum(times), sum(times)
FROM lengths GROUP BY group_key, metric
