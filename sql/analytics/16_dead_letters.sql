-- What could not be processed, and where did it end?
-- Columns: stage, reason, letters, newest
SELECT stage, reason, count(*) AS letters, max(at) AS newest
FROM dead_letters
GROUP BY stage, reason
ORDER BY letters DESC, stage, reason
