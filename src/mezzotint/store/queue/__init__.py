"""The fair queue: enqueue, claim, transitions between states, and the accounts that they change.

Lock order on PostgreSQL, the same in every transaction, so that none waits in a circle: named locks
(`Database.lock`), submissions, shares, jobs by id, flows by lane and tenant. A transaction that changes several jobs
locks all of them before the first flow. The accounts of shares that a settled job corrects are changed afterwards, in
a transaction of their own (`settle.py`). SQLite has one writer at a time.
"""
