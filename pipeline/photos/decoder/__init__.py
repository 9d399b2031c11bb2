"""The decoder of untrusted photos. Imports only errors.py of the rest of the pipeline, so that it starts fast."""
