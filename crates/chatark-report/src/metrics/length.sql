-- How long conversations are: in messages, and in seconds from their beginning to the last thing that happened.
WITH lengths AS (
    SELECT period, source, provider, channel, 'messages_per_conversation' AS metric, messages * 1.0 AS length
    FROM conversation_report
    UNION ALL
    SELECT period, source, provider, channel, 'duration_seconds', duration_seconds
    FROM conversation_report WHERE duration_seconds IS NOT NULL
), ranked AS (
    SELECT period, source, provider, channel, metric, length,
           row_number() OVER (PARTITION BY period, source, provider, channel, metric ORDER BY length) AS place,
           count(*) OVER (PARTITION BY period, source, provider, channel, metric) AS basis
    FROM lengths
), percents AS (
    SELECT 50 AS percent, '_median' AS name UNION ALL SELECT 90, '_p90'
)
SELECT period, source, provider, channel, metric || name AS metric, length AS value, basis
FROM ranked JOIN percents ON place = (basis * percent + 99) / 100
UNION ALL
SELECT period, source, provider, channel, metric || '_mean', avg(length), count(*)
FROM lengths GROUP BY period, source, provider, channel, metric
ORDER BY 1, 2, 3, 4, 5
