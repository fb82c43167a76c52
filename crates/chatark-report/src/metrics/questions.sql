-- What people ask most: their first message, and their last one where nobody answered it. Texts that differ in case,
-- punctuation and spaces alone are one question.
WITH asked AS (
    SELECT period, source, provider, channel, 'first_questions' AS metric, first_question AS question
    FROM conversation_report WHERE first_question <> ''
    UNION ALL
    SELECT period, source, provider, channel, 'unanswered_questions', last_question
    FROM conversation_report WHERE last_question <> ''
), counted AS (
    SELECT period, source, provider, channel, metric, question, count(*) AS times
    FROM asked GROUP BY period, source, provider, channel, metric, question
), ranked AS (
    SELECT period, source, provider, channel, metric, question, times,
           sum(times) OVER (PARTITION BY period, source, provider, channel, metric) AS basis,
           row_number() OVER (PARTITION BY period, source, provider, channel, metric ORDER BY times DESC, question) AS place
    FROM counted
)
SELECT period, source, provider, channel, metric, times AS value, basis, question
FROM ranked WHERE place <= 20
ORDER BY 1, 2, 3, 4, 5, 6 DESC, 8
