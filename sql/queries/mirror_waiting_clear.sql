DELETE FROM mirror_waiting WHERE log_partition = $1
