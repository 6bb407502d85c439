SELECT next_offset FROM projections WHERE log_partition = $1 AND log_identity = $2
