DELETE FROM unrouted WHERE log_partition = $1
