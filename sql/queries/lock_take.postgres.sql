-- Of PostgreSQL alone: SQLite has one writer, and no need of locks between them.
SELECT pg_advisory_xact_lock(hashtextextended($1, 0))
