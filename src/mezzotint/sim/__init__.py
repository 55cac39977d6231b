"""A discrete-event simulator that runs the same policy functions as production.

It is pure like them: it moves time itself and draws from a generator that the caller seeds. Same input, same run.
"""
