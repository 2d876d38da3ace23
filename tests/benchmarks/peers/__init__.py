"""Other queues in PostgreSQL, installed for the benchmark only."""
