"""The decoder of untrusted photos. Imports nothing else of the package, so it starts fast and holds no secrets."""
