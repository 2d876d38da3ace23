"""A summary and a mind map of one submission's transcript, each made by a pipeline of its own.

prompts.py    what the model is asked, and the schemas of its answers
support.py    which of its words the transcript supports, and by which sentence
handlers.py   the two stages: ask, keep what is supported, store it
pipeline.py   how they are registered with the queue
requests.py   to ask for one, at most one of each at a time; what is under way
files.py      a mind map as Markdown and OPML
joined.py     a class in short, of its students' forms
"""
