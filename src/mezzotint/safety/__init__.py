"""The safety filters: `text` decides what may be drawn, before any work; `image` what may be shown, before it leaves.

Import from the subpackages: a gateway needs the first without the second's runtime.
"""
