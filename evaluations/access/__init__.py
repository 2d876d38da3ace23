"""Who may see and do what: permissions.py for pages and API, roles.py for the admin."""
