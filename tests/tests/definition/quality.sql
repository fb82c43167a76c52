-- What people thought of it, and how sure the bot was. A conversation's feedback is its own, or else its answers':
-- negative where one of them is. An answer is low in confidence below a score of 0.5.
WITH judged AS (
    SELECT group_key,
           CASE
               WHEN feedback <> '' THEN feedback
               WHEN negative_messages > 0 THEN 'negative'
               WHEN positive_messages > 0 THEN 'positive'
               ELSE 'none'
           END AS feedback
    FROM conversation_report WHERE has_feedback = 1
), counted AS (
    SELECT group_key, count(*) AS basis,
           sum(CASE WHEN feedback = 'positive' THEN 1 ELSE 0 END) AS positive,
           sum(CASE WHEN feedback = 'negative' THEN 1 ELSE 0 END) AS negative
    FROM judged GROUP BY group_key
), scored AS (
    SELECT group_key, sum(scored_messages) AS basis, sum(low_messages) AS low
    FROM conversation_report WHERE has_scores = 1
    GROUP BY group_key
    HAVING sum(scored_messages) > 0
)
SELECT group_key, 'feedback_positive' AS metric, positive AS value, basis FROM counted
UNION ALL SELECT group_key, 'feedback_negative', negative, basis FROM counted
UNION ALL SELECT group_key, 'feedback_none', basis - positive - negative, basis FROM counted
UNION ALL SELECT group_key, 'feedback_rate', (positive + negative) * 1.0 / basis, basis FROM counted
UNION ALL SELECT group_key, 'feedback_positive_rate', positive * 1.0 / (positive + negative), positive + negative
    FROM counted WHERE positive + negative > 0
UNION ALL SELECT group_key, 'low_confidence_answers', low, basis FROM scored
UNION ALL SELECT group_key, 'low_confidence_rate', low * 1.0 / basis, basis FROM scored
