"""The coach: a student's question about a submission of their own is a task of the pipeline `coach`.

asking.py     who may ask, and how a question enters the line or is stopped
line.py       its place, and how long it will still wait
facts.py      what the model is told of the submission
prompt.py     … and how it is asked
guard.py      what is declined before a model is asked, and what of its answer is shown
forms.py      … by which words
answering.py  the stage
state.py      where it is, and its answer so far
markdown.py   … as HTML
pipeline.py   its registration with the queue
"""
