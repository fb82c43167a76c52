-- How long people wait, in seconds: for the first answer of the bot or a person, and for each answer of the bot.
-- Percentiles by the nearest rank. The basis is how many conversations or answers have the times that it takes.
WITH firsts AS (
    SELECT group_key, first_response_seconds AS seconds, count(*) AS times
    FROM conversation_report WHERE first_response_seconds IS NOT NULL
    GROUP BY group_key, first_response_seconds
), answers AS (
    SELECT group_key, response_seconds AS seconds, sum(times) AS times
    FROM response_report GROUP BY group_key, response_seconds
), waits AS (
    SELECT group_key, 'first_response_seconds' AS metric, seconds, times FROM firsts
    UNION ALL SELECT group_key, 'response_seconds', seconds, times FROM answers
), ranked AS (
    SELECT group_key, metric, seconds,
           sum(times) OVER (PARTITION BY group_key, metric ORDER BY seconds) AS up_to,
           sum(times) OVER (PARTITION BY group_key, metric) AS basis
    FROM waits
), percents AS (
    SELECT 50 AS percent, '_median' AS name UNION ALL SELECT 90, '_p90' UNION ALL SELECT 99, '_p99'
)
SELECT group_key, metric || name AS metric, min(seconds) AS value, basis
FROM ranked JOIN percents ON up_to >= (basis * percent + 99) / 100
GROUP BY group_key, metric || name, basis
