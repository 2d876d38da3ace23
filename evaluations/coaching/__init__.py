"""What language models do for people beside rating them.

questions/  the coach: students ask about their own submissions, and are answered in line
"""
