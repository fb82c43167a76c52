-- How conversations end. Only those in which a person wrote count; who was handed over is known only of sources that
-- tell a status or a human agent's messages.
WITH talked AS (
    SELECT * FROM conversation_report WHERE user_messages > 0
), told AS (
    SELECT group_key, count(*) AS basis,
           sum(is_handed_over) AS handed_over,
           sum(CASE WHEN status = 'ended' THEN 1 ELSE 0 END) AS ended
    FROM talked WHERE has_status = 1
    GROUP BY group_key
), everything AS (
    SELECT group_key, count(*) AS basis,
           sum(CASE WHEN messages = 1 THEN 1 ELSE 0 END) AS single_message,
           sum(is_unanswered) AS unanswered
    FROM talked
    GROUP BY group_key
)
SELECT group_key, 'contained' AS metric, basis - handed_over AS value, basis FROM told
UNION ALL SELECT group_key, 'contained_rate', (basis - handed_over) * 1.0 / basis, basis FROM told
UNION ALL SELECT group_key, 'handed_over', handed_over, basis FROM told
UNION ALL SELECT group_key, 'handed_over_rate', handed_over * 1.0 / basis, basis FROM told
UNION ALL SELECT group_key, 'ended', ended, basis FROM told
UNION ALL SELECT group_key, 'ended_rate', ended * 1.0 / basis, basis FROM told
UNION ALL SELECT group_key, 'single_message', single_message, basis FROM everything
UNION ALL SELECT group_key, 'single_message_rate', single_message * 1.0 / basis, basis FROM everything
UNION ALL SELECT group_key, 'unanswered', unanswered, basis FROM everything
UNION ALL SELECT group_key, 'unanswered_rate', unanswered * 1.0 / basis, basis FROM everything
