"""Whatever a file holds, every command answers: with what was asked, or with one line.

`make test` tries a few hundred scenario files and some dozens of damaged results folders, others
each time; `make fuzz` 10 000 and 1 000.
"""
