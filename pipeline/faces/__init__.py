"""Faces in a photo.

Where they are (find), what shape they have (mesh, points), how well they are seen
(measure) and whose they are (embed).
"""
