"""The worker's threads beside its loop, each on a database connection of its own."""
