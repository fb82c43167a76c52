-- What two sources are compared by: rates as hits of a number, and lengths as number, sum and sum of squares.
WITH talked AS (
    SELECT * FROM conversation_report WHERE user_messages > 0
)
SELECT slot, 'contained_rate' AS metric, count(*) AS number, sum(1 - is_handed_over) * 1.0 AS total, NULL AS squares
FROM talked WHERE has_status = 1 GROUP BY slot
UNION ALL SELECT slot, 'ended_rate', count(*), sum(CASE WHEN status = 'ended' THEN 1 ELSE 0 END) * 1.0, NULL
FROM talked WHERE has_status = 1 GROUP BY slot
UNION ALL SELECT slot, 'unanswered_rate', count(*), sum(is_unanswered) * 1.0, NULL FROM talked GROUP BY slot
UNION ALL SELECT slot, 'single_message_rate', count(*), sum(CASE WHEN messages = 1 THEN 1 ELSE 0 END) * 1.0, NULL
FROM talked GROUP BY slot
UNION ALL SELECT slot, 'feedback_positive_rate', sum(positive_messages + negative_messages), sum(positive_messages) * 1.0, NULL
FROM conversation_report WHERE tells_feedback = 1 GROUP BY slot
UNION ALL SELECT slot, 'low_confidence_rate', sum(scored_messages), sum(low_messages) * 1.0, NULL
FROM conversation_report WHERE tells_scores = 1 GROUP BY slot
UNION ALL SELECT slot, 'first_response_seconds', count(*), sum(first_response_seconds), sum(first_response_seconds * first_response_seconds)
FROM conversation_report WHERE first_response_seconds IS NOT NULL GROUP BY slot
UNION ALL SELECT slot, 'response_seconds', sum(times), sum(response_seconds * times), sum(response_seconds * response_seconds * times)
FROM response_report GROUP BY slot
UNION ALL SELECT slot, 'messages_per_conversation', count(*), sum(messages) * 1.0, sum(messages * messages) * 1.0
FROM conversation_report GROUP BY slot
UNION ALL SELECT slot, 'duration_seconds', count(*), sum(duration_seconds), sum(duration_seconds * duration_seconds)
FROM conversation_report WHERE duration_seconds IS NOT NULL GROUP BY slot
