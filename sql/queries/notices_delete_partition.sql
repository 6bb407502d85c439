DELETE FROM notices WHERE log_partition = $1
