DELETE FROM tasks WHERE log_partition = $1
