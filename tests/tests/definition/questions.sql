-- What people ask most: their first message, and their last one where nobody answered it. Texts that differ in case,
-- punctuation and spaces alone are one question.
WITH asked AS (
    SELECT group_key, 'first_questions' AS metric, first_question AS question
    FROM conversation_report WHERE first_question <> ''
    UNION ALL
    SELECT group_key, 'unanswered_questions', last_question
    FROM conversation_report WHERE last_question <> ''
), counted AS (
    SELECT group_key, metric, question, count(*) AS times
    FROM asked GROUP BY group_key, metric, question
), ranked AS (
    SELECT group_key, metric, question, times,
           sum(times) OVER (PARTITION BY group_key, metric) AS basis,
           row_number() OVER (PARTITION BY group_key, metric ORDER BY times DESC, question) AS place
    FROM counted
)
SELECT group_key, metric, times AS value, basis, question
FROM ranked WHERE place <= 20
