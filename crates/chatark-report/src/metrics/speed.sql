-- How long people wait, in seconds: for the first answer of the bot or a person, and for each answer of the bot.
-- Percentiles by the nearest rank. The basis is how many conversations or answers have the times that it takes.
WITH waits AS (
    SELECT period, source, provider, channel, 'first_response_seconds' AS metric, first_response_seconds AS seconds
    FROM conversation_report WHERE first_response_seconds IS NOT NULL
    UNION ALL
    SELECT period, source, provider, channel, 'response_seconds', response_seconds FROM response_report
), ranked AS (
    SELECT period, source, provider, channel, metric, seconds,
           row_number() OVER (PARTITION BY period, source, provider, channel, metric ORDER BY seconds) AS place,
           count(*) OVER (PARTITION BY period, source, provider, channel, metric) AS basis
    FROM waits
), percents AS (
    SELECT 50 AS percent, '_median' AS name UNION ALL SELECT 90, '_p90' UNION ALL SELECT 99, '_p99'
)
SELECT period, source, provider, channel, metric || name AS metric, seconds AS value, basis
FROM ranked JOIN percents ON place = (basis * percent + 99) / 100
ORDER BY 1, 2, 3, 4, 5
