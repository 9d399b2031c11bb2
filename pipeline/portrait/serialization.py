"""A prepared person as bytes and back, for other processes: at 4K preparing takes minutes, this a second."""

import io
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.skin import Skin
from pipeline.portrait.prepare import Portrait
from pipeline.portrait.upscaled import Fine

# Counts up with every change of what a portrait holds: bytes of another release are refused, not misread.
FORMAT = 1

_PLANES = ("person", "alpha", "shape", "background", "mesh", "skin")


def freeze_portraits(portraits: tuple[Portrait, ...]) -> bytes:
    """All of them as one npz, 60 MB each at 4K; nothing is rounded."""
    arrays: dict[str, NDArray[np.generic]] = {"head": np.array([FORMAT, len(portraits)])}
    for index, portrait in enumerate(portraits):
        parts = {name: getattr(portrait, name) for name in _PLANES}
        parts["source"] = np.array([getattr(portrait.source, field.name) for field in fields(Skin)])
        parts["scalars"] = np.array([portrait.light_side, portrait.scale, portrait.enlarged], np.float64)
        if portrait.fine is not None:
            fine = portrait.fine
            parts |= {"fine_person": fine.person, "fine_alpha": fine.alpha, "fine_factor": np.array(fine.factor)}
        arrays |= {f"{index}.{name}": array for name, array in parts.items()}
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def thaw_portraits(data: bytes) -> tuple[Portrait, ...]:
    """The portraits as they were. Raises ValueError for bytes of another release."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        version, count = (int(number) for number in arrays["head"])
        if version != FORMAT:
            raise ValueError(f"a prepared person in form {version}, not {FORMAT}")
        return tuple(
            _thaw({name.removeprefix(f"{index}."): arrays[name] for name in arrays if name.startswith(f"{index}.")})
            for index in range(count)
        )


def _thaw(parts: dict[str, NDArray[np.generic]]) -> Portrait:
    side, scale, enlarged = (float(number) for number in parts["scalars"].astype(np.float64))
    fine = None
    if "fine_person" in parts:
        fine = Fine(
            np.asarray(parts["fine_person"], np.uint8),
            np.asarray(parts["fine_alpha"], np.uint8),
            int(parts["fine_factor"].astype(np.int64)),
        )
    return Portrait(
        person=np.asarray(parts["person"], np.float32),
        alpha=np.asarray(parts["alpha"], np.float32),
        shape=np.asarray(parts["shape"], np.float32),
        background=np.asarray(parts["background"], np.float32),
        mesh=np.asarray(parts["mesh"], np.float32),
        skin=np.asarray(parts["skin"], np.bool_),
        source=Skin(*(float(number) for number in parts["source"].astype(np.float64))),
        light_side=side,
        scale=scale,
        fine=fine,
        enlarged=bool(enlarged),
    )
