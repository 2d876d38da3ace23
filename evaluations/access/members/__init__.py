"""Who is in a class, and how they come in.

tables.py     a class list that somebody pasted or uploaded, as rows of text
roster.py     such a list against the class: what it would change, and changing it
usernames.py  user names made from names
codes.py      codes that are typed
cards.py      cards by which students sign in
joining.py    asking for a place by a join code
"""
