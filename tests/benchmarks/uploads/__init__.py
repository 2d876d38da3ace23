"""Many uploads at once through one real daphne, each cut and taken up again, while somebody watches a dashboard.

client.py     the load: one process, a thread and a socket for each upload
watching.py   a dashboard's socket, in a process of its own so that the load can't make it late
bench.py      the site, the students, and what is made of the figures
"""
