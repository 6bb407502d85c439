INSERT INTO trail_positions (topic, log_partition, log_identity, next_offset)
VALUES ($1, $2, $3, $4)
ON CONFLICT (topic, log_partition) DO UPDATE
SET log_identity = excluded.log_identity, next_offset = excluded.next_offset
