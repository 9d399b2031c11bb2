"""Serialize the faces of a photo: boxes, meshes, measurements, and small crops to choose from.

Private like the photo.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields

import numpy as np

from pipeline.types import Box, Face, Measurements

CROP_PX = 192
# So many times the face's longer side: enough hair and shoulders to know oneself by.
CROP_FACES = 1.6


_MEASURED = len(fields(Measurements))


def pack_faces(faces: Sequence[Face], measurements: Sequence[Measurements]) -> bytes:
    """Write an npz of boxes (n, 4), scores (n,) and meshes (n, 468, 3), all float32, and the measurements of each face
    (n, 11), float64, in the order of their fields."""
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
    """The faces that were packed, in their order."""
    arrays = np.load(io.BytesIO(data), allow_pickle=False)
    return [
        Face(Box(*(float(edge) for edge in box)), float(score), mesh)
        for box, score, mesh in zip(arrays["boxes"], arrays["scores"], arrays["meshes"], strict=True)
    ]


def unpack_measurements(data: bytes) -> list[Measurements]:
    """Return what was measured of the packed faces, in their order."""
    arrays = np.load(io.BytesIO(data), allow_pickle=False)
    # Of faces that were found before their measurements were stored with them there are none.
    return [Measurements(*(float(value) for value in row)) for row in arrays.get("measurements", ())]


def describe_faces(faces: bytes) -> list[dict[str, object]]:
    """Return what was found of each face, for its person to read: box (left, top, right, bottom), score and the 468
    points of the mesh (x, y, z), all in pixels of the photo but the score, and the measurements by their names."""
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
    """A square JPEG of the face with some room around it, metadata-free. photo: a cleaned one; box: in its pixels."""
    from PIL import Image

    side = max(box.width, box.height) * CROP_FACES
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    with Image.open(io.BytesIO(photo)) as image:
        corners = (round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2))
        crop = image.crop(corners).resize((CROP_PX, CROP_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    crop.save(out, "JPEG", quality=88)
    return out.getvalue()
