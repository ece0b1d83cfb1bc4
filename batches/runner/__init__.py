"""Runs batches: a chore of `manage.py effects`.

A process holds a batch by a lease. All that it knows of one stands in Postgres, and every step can be done twice: lines are written
once by their number, a line's task is made once by an idempotency key, a result is collected by the statement that counts it, and
files of results become the batch's in the statement that ends it. So any process may be killed at any moment, or come back late.
"""
