"""The eyes: what may be drawn (before any work) and what may be shown (before anything leaves).

Import from `safety.prefilter` or `safety.postfilter`: a gateway needs the first without the second's runtime.
"""
