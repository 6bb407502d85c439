SELECT next_offset FROM trail_positions WHERE topic = $1 AND log_partition = $2 AND log_identity = $3
