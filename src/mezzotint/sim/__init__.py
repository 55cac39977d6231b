"""What would happen: a discrete-event simulator that runs the same policy functions as production.

Pure like them: time is a number it moves itself, chance comes from dice that the caller seeds. Same input, same run.
"""
