-- How long conversations are: in messages, and in seconds from their beginning to the last thing that happened.
WITH talks AS (
    SELECT slot, messages * 1.0 AS length, count(*) AS times FROM conversation_report GROUP BY slot, messages
), durations AS (
    SELECT slot, duration_seconds AS length, count(*) AS times
    FROM conversation_report WHERE duration_seconds IS NOT NULL
    GROUP BY slot, duration_seconds
), lengths AS (
    SELECT slot, 'messages_per_conversation' AS metric, length, times FROM talks
    UNION ALL SELECT slot, 'duration_seconds', length, times FROM durations
), ranked AS (
    SELECT slot, metric, length,
           sum(times) OVER (PARTITION BY slot, metric ORDER BY length) AS up_to,
           sum(times) OVER (PARTITION BY slot, metric) AS basis
    FROM lengths
), percents AS (
    SELECT 50 AS percent, '_median' AS name UNION ALL SELECT 90, '_p90'
)
SELECT slot, metric || name AS metric, min(length) AS value, basis
FROM ranked JOIN percents ON up_to >= (basis * percent + 99) / 100
GROUP BY slot, metric || name, basis
UNION ALL
SELECT slot, metric || '_mean', sum(length * times) / sum(times), sum(times)
FROM lengths GROUP BY slot, metric
