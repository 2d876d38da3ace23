"""What can go wrong, made to go wrong on purpose: `make chaos` at length, `make test` a bounded share of it."""
