"""Pure functions from records to numbers and verdicts.

Knows the records, numpy and scipy.special; never torch, pandas, files or the terminal.
Nothing is imported here: a worker process that needs percentiles pays for nothing else.
"""
