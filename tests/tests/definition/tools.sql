-- Calls of tools by name and by how they went; `no-result` where the vendor shows a call and no answer to it.
WITH called AS (
    SELECT group_key, tool, tool_status, count(*) AS calls
    FROM tool_report GROUP BY group_key, tool, tool_status
)
SELECT group_key, 'tool_calls' AS metric, calls AS value,
       sum(calls) OVER (PARTITION BY group_key) AS basis, tool, tool_status
FROM called
