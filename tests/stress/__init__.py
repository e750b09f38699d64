"""Millions of checked replies over every transport, with faults: `make stress`.

What is checked: each reply is its own request's and holds what the model computed for it; each
request ends in exactly one way, and its fault explains it; the model was given each request at
most once; requests and replies never change. `ledger` says when that holds, `rounds` runs a
few seconds of it under one drawn setting, `model`, `actors` and `faults` are who does what there.
"""
