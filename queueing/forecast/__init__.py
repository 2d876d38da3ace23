"""How long everybody in line still has to wait, without a database.

What stages took (pace), the line simulated into the future (simulation), and what was published before (published). The
worker reads the facts (worker/line_facts.py) and stores the result (worker/forecaster.py); report/estimates.py turns an
estimate into text.
"""
