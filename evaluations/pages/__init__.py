"""What pages show, computed from submissions and results; templates render it, views and sockets send it."""
