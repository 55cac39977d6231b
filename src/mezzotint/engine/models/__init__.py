"""Models on disk and in memory: the operator's catalog, the files of one model, and their loading."""
