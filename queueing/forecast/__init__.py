"""How long it will still take: what stages took (pace), the line played forward (play), what was said before (promise).

Those three are pure. `facts` reads the database for them, `forecaster` is the worker's thread that writes the outcome
down, `words` says it to people.
"""
