"""Serialize the faces of a photo (boxes, meshes and measurements), and crop them for selection.

The serialized data is as private as the photo.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields

import numpy as np

from pipeline.types import Box, Face, Measurements

CROP_PX = 192
# Side of the crop in multiples of the face's longer side. The crop includes hair and shoulders, so that people
# recognize themselves.
CROP_FACES = 1.6


_MEASURED = len(fields(Measurements))


def pack_faces(faces: Sequence[Face], measurements: Sequence[Measurements]) -> bytes:
    """Serialize faces and their measurements in npz format.

    The arrays are boxes (n, 4), scores (n,) and meshes (n, 468, 3) as float32, and measurements (n, 13) as float64. The
    columns of the measurements are the fields of Measurements, in order."""
    out = io.BytesIO()
    boxes = [(face.box.left, face.box.top, face.box.right, face.box.bottom) for face in faces]
    np.savez(
        out,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array([face.score for face in faces], np.float32),
        meshes=np.array([face.mesh for face in faces], np.float32).reshape(-1, 468, 3),
        measurements=np.array([astuple(face) for face in measurements], np.float64).reshape(-1, _MEASURED),
    )
    return out.getvalue()


def unpack_faces(data: bytes) -> list[Face]:
    """Return the serialized faces, in order."""
    arrays = np.load(io.BytesIO(data), allow_pickle=False)
    return [
        Face(Box(*(float(edge) for edge in box)), float(score), mesh)
        for box, score, mesh in zip(arrays["boxes"], arrays["scores"], arrays["meshes"], strict=True)
    ]


def unpack_measurements(data: bytes) -> list[Measurements]:
    """Return the measurements of the serialized faces, in order.

    Returns an empty list for data that was stored without measurements."""
    arrays = np.load(io.BytesIO(data), allow_pickle=False)
    # Older releases stored faces without measurements, or without the last of them.
    return [Measurements(*(float(value) for value in row)) for row in arrays.get("measurements", ())]


def describe_faces(faces: bytes) -> list[dict[str, object]]:
    """Return the data of each face for the customer's data export.

    Each entry contains box (left, top, right, bottom), score, mesh (468 points x, y, z) and measurements by name. Box
    and mesh are in pixels of the photo."""
    measured = [asdict(face) for face in unpack_measurements(faces)]
    return [
        {
            "box": [round(edge, 1) for edge in (face.box.left, face.box.top, face.box.right, face.box.bottom)],
            "score": round(face.score, 3),
            "mesh": face.mesh.astype(float).round(1).tolist(),
            "measurements": measured[index] if measured else {},
        }
        for index, face in enumerate(unpack_faces(faces))
    ]


def crop_face(photo: bytes, box: Box) -> bytes:
    """Crop a square around the face, and return it as JPEG without metadata.

    Args:
        photo: a cleaned photo.
        box: bounding box of the face, in pixels of the photo.
    """
    from PIL import Image

    side = max(box.width, box.height) * CROP_FACES
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    with Image.open(io.BytesIO(photo)) as image:
        corners = (round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2))
        crop = image.crop(corners).resize((CROP_PX, CROP_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    crop.save(out, "JPEG", quality=88)
    return out.getvalue()
