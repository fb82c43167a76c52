-- Calls of tools by name and by how they went; `no-result` where the vendor shows a call and no answer to it.
WITH called AS (
    SELECT slot, tool, tool_status, count(*) AS calls
    FROM tool_report GROUP BY slot, tool, tool_status
)
SELECT slot, 'tool_calls' AS metric, calls AS value,
       sum(calls) OVER (PARTITION BY slot) AS basis, tool, tool_status
FROM called
