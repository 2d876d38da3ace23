"""catalogue.py: every error code with its words for users. refusals.py: how requests are refused."""
