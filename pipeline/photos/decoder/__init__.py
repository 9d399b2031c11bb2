"""The decoder of untrusted photos.

Imports no other module of the pipeline except errors.py, so that the process starts fast.
"""
