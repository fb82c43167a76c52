-- Who writes. A new person wrote for the first time, whatever the window is; a returning one has several
-- conversations here; one person across vendors wrote the same e-mail address or telephone number to both.
WITH person AS (
    SELECT group_key, person, count(*) AS conversations, max(is_first_contact) AS is_new,
           count(DISTINCT vendor) AS vendors
    FROM conversation_report WHERE person IS NOT NULL
    GROUP BY group_key, person
), counted AS (
    SELECT group_key, count(*) AS people, sum(is_new) AS new_people,
           sum(CASE WHEN conversations > 1 THEN 1 ELSE 0 END) AS returning_people,
           sum(CASE WHEN vendors > 1 THEN 1 ELSE 0 END) AS across, sum(conversations) AS conversations
    FROM person GROUP BY group_key
)
SELECT group_key, 'people' AS metric, people AS value, conversations AS basis FROM counted
UNION ALL SELECT group_key, 'new_people', new_people, people FROM counted
UNION ALL SELECT group_key, 'known_people', people - new_people, people FROM counted
UNION ALL SELECT group_key, 'returning_people', returning_people, people FROM counted
UNION ALL SELECT group_key, 'people_across_vendors', across, people FROM counted
    WHERE group_key IN (SELECT group_key FROM group_keys WHERE source = '')
