"""What pages show, computed from rows and results; templates draw it, views and sockets send it."""
