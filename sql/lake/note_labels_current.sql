-- What notes, journal chunks and chat messages say: a row a label, `scope` 'own' where it holds for the writer and for
-- now, else 'denied', 'past', 'other', 'supposed'; and a row of kind 'importance' for each. A memory is seen as one version
-- of the model read it: the newest that has read all of a person's memories, and while a newer one is at work, the one
-- before where there is one.
WITH reads AS (
  SELECT user_id, source_kind, source_id, chunk, model_version, max(labelled_at) AS labelled_at
  FROM note_labels
  WHERE kind = 'importance'
  GROUP BY user_id, source_kind, source_id, chunk, model_version
),
versions AS (
  SELECT user_id, model_version, count(*) AS n, min(labelled_at) AS since
  FROM reads
  GROUP BY user_id, model_version
),
wholes AS (
  SELECT user_id, count(*) AS n
  FROM (SELECT DISTINCT user_id, source_kind, source_id, chunk FROM reads)
  GROUP BY user_id
),
chosen AS (
  SELECT r.user_id, r.source_kind, r.source_id, r.chunk, r.model_version, r.labelled_at,
         row_number() OVER (
           PARTITION BY r.user_id, r.source_kind, r.source_id, r.chunk
           ORDER BY CASE WHEN v.n = w.n THEN v.since END DESC NULLS LAST, v.since, r.model_version) AS place
  FROM reads r
  JOIN versions v ON v.user_id = r.user_id AND v.model_version = r.model_version
  JOIN wholes w ON w.user_id = r.user_id
)
SELECT l.*
FROM note_labels l
JOIN chosen c
  ON c.user_id = l.user_id AND c.source_kind = l.source_kind AND c.source_id = l.source_id AND c.chunk = l.chunk
 AND c.model_version = l.model_version AND c.labelled_at = l.labelled_at
WHERE c.place = 1
