"""A class that hands in, played through the true queue and true worker processes, with stand-ins for the models.

Only in a database of its own (`introeval.embedded` makes one for `manage.py rehearse_lab`): it drops a constraint,
kills its workers and crashes its servers.
"""
