"""What language models do for people beside rating them: pipelines on the same queue.

questions/   the coach: students ask about their own submissions, and are answered in line
operations/  a summary and a mind map of a submission, after everybody's rating
"""
