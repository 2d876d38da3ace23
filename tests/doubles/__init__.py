"""Stand-ins for hardware and servers that a developer's machine lacks; they misbehave as the real ones are known to."""
