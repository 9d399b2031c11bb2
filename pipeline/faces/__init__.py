"""Detect and measure the faces in a photo.

Modules: face detection (detect, find), face mesh (mesh, landmarks), measurements (measure), sampling (sampling), the
tflite runtime (interpreter) and storage (serialization).
"""
