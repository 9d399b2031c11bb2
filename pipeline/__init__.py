"""Turn one or more casual photos of a person into headshots.

The package works on images only. It does not use the web framework, the task queue or the database, and it reads no
environment variables.
"""
