-- What two sources are compared by: rates as hits of a number, and lengths as number, sum and sum of squares.
WITH talked AS (
    SELECT * FROM conversation_report WHERE user_messages > 0
)
SELECT source, 'contained_rate' AS metric, count(*) AS number, sum(1 - is_handed_over) * 1.0 AS total, NULL AS squares
FROM talked WHERE tells_outcome = 1 GROUP BY source
UNION ALL SELECT source, 'ended_rate', count(*), sum(CASE WHEN status = 'ended' THEN 1 ELSE 0 END) * 1.0, NULL
FROM talked WHERE tells_outcome = 1 GROUP BY source
UNION ALL SELECT source, 'unanswered_rate', count(*), sum(is_unanswered) * 1.0, NULL FROM talked GROUP BY source
UNION ALL SELECT source, 'single_message_rate', count(*), sum(CASE WHEN messages = 1 THEN 1 ELSE 0 END) * 1.0, NULL
FROM talked GROUP BY source
UNION ALL SELECT source, 'feedback_positive_rate', sum(positive_messages + negative_messages), sum(positive_messages) * 1.0, NULL
FROM conversation_report WHERE tells_feedback = 1 GROUP BY source
UNION ALL SELECT source, 'low_confidence_rate', sum(scored_messages), sum(low_messages) * 1.0, NULL
FROM conversation_report WHERE tells_scores = 1 GROUP BY source
UNION ALL SELECT source, 'first_response_seconds', count(*), sum(first_response_seconds), sum(first_response_seconds * first_response_seconds)
FROM conversation_report WHERE first_response_seconds IS NOT NULL GROUP BY source
UNION ALL SELECT source, 'response_seconds', count(*), sum(response_seconds), sum(response_seconds * response_seconds)
FROM response_report GROUP BY source
UNION ALL SELECT source, 'messages_per_conversation', count(*), sum(messages) * 1.0, sum(messages * messages) * 1.0
FROM conversation_report GROUP BY source
UNION ALL SELECT source, 'duration_seconds', count(*), sum(duration_seconds), sum(duration_seconds * duration_seconds)
FROM conversation_report WHERE duration_seconds IS NOT NULL GROUP BY source
