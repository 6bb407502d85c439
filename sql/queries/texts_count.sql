SELECT count(*) FROM texts WHERE NOT is_gone
