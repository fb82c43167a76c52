-- Calls of tools by name and by how they went; `no-result` where the vendor shows a call and no answer to it.
WITH called AS (
    SELECT period, source, provider, channel, tool, tool_status, count(*) AS calls
    FROM tool_report GROUP BY period, source, provider, channel, tool, tool_status
)
SELECT period, source, provider, channel, 'tool_calls' AS metric, calls AS value,
       sum(calls) OVER (PARTITION BY period, source, provider, channel) AS basis, tool, tool_status
FROM called
ORDER BY 1, 2, 3, 4, 5, 8, 9
