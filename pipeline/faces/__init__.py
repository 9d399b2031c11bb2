"""Find and measure the faces of a photo.

Modules: face detection (detect, find), face mesh (mesh, landmarks), visibility (measure) and storage (serialization).
"""
