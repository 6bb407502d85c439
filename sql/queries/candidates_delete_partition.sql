DELETE FROM candidates WHERE log_partition = $1
