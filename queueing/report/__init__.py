"""The queue in figures and text: the same for commands, pages and the API."""
