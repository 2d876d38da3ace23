"""The queue in figures and words: the same for commands, pages and the API."""
