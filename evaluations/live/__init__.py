"""The live dashboard: sockets that are sent what changed on their pages.

relay.py     connects the queue's signals to the broker
broker.py    notifies every process that has sockets, on a thread of its own
hub.py       one per process: on a notice, or after a while without one, compares the database with what was sent
answers.py   the same for answers of the coach, for those who wait for one
messages.py  the messages of the socket, and which of them each socket is to be sent
consumer.py  the socket itself: authentication, rate limit, sending
sessions.py  whether a socket's session is still valid
"""
