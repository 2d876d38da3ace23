"""The live dashboard: from the queue's signals by the broker to the hub of each process, and on to its sockets."""
