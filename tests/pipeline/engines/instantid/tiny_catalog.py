"""The InstantID engine's weights at tiny size, as an operator has them: a catalog, files to take, a folder."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.engines.instantid.options import InstantIDOptions
from pipeline.weights import CATALOG, DEFAULT_DIR, STUDIO, Weights, load_catalog
from tests.pipeline.engines.instantid.tiny_instantid import GOLDEN, SIZE, build_face_networks

OPTIONS = InstantIDOptions(device="cpu", steps=2, canvas_pixels=SIZE.width * SIZE.height, max_batch=4)
# The same, for a process. One thread, as in tests/helpers/torch_needed.py.
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "HEADSHOTS_INSTANTID_DEVICE": OPTIONS.device,
    "HEADSHOTS_INSTANTID_STEPS": str(OPTIONS.steps),
    "HEADSHOTS_INSTANTID_CANVAS_PIXELS": str(OPTIONS.canvas_pixels),
    "HEADSHOTS_INSTANTID_MAX_BATCH": str(OPTIONS.max_batch),
}
FOLDERS = ("realvisxl", "sdxl_configs", "sdxl_vae", "instantid_controlnet", "antelopev2")
CONVERTED = {"instantid_adapter": "adapter", "realesrgan_full": "upscaler"}


@dataclass(frozen=True)
class TinyWeights:
    """Files that nobody fetched yet (`source`), the catalog that names them, and where they are to lie."""

    source: Path
    catalog: Path
    directory: Path

    def open(self) -> Weights:
        """A folder of weights that has nothing verified yet."""
        return Weights(self.directory, CATALOG.with_changes(load_catalog(self.catalog)))

    def write_catalog(self) -> None:
        """Pins the source files as they are now."""
        entries = [describe(name, self.source / name, self.source) for name in (*FOLDERS, *CONVERTED)]
        self.catalog.write_text("\n".join(['[hubs.tiny]\nrepository = "tests/tiny"\nrevision = "main"\n', *entries]))

    def install(self) -> Weights:
        """The studio's real weights and the tiny ones, all in the folder."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in CATALOG.groups[STUDIO]:
            place = CATALOG.weights[name].place
            shutil.copyfile(DEFAULT_DIR / place, self.directory / place)
        weights = self.open()
        weights.copy_files(["instantid"], self.source, lambda share: None)
        return weights


def build_tiny_weights(folder: Path) -> TinyWeights:
    """Writes source files and their catalog below the folder; nothing is installed yet."""
    source = folder / "source"
    write_sources(source)
    tiny = TinyWeights(source, folder / "tiny.toml", folder / "weights")
    tiny.write_catalog()
    return tiny


def write_sources(source: Path) -> None:
    """One folder a weight, in the layout that a checkpoint in diffusers' format has."""
    import torch

    from pipeline.upscaling.rrdb_torch import RRDBNet

    shutil.copytree(GOLDEN / "base", source / "realvisxl")
    (source / "sdxl_configs").mkdir()
    shutil.copyfile(GOLDEN / "base" / "model_index.json", source / "sdxl_configs" / "model_index.json")
    shutil.copytree(GOLDEN / "base" / "vae", source / "sdxl_vae")
    shutil.copytree(GOLDEN / "instantid" / "ControlNetModel", source / "instantid_controlnet")
    (source / "antelopev2").mkdir()
    build_face_networks(source / "antelopev2")
    for name in CONVERTED:
        (source / name).mkdir()
    shutil.copyfile(GOLDEN / "instantid" / "ip-adapter.bin", source / "instantid_adapter" / "weights.bin")
    torch.manual_seed(0)
    tensors = RRDBNet(features=8, growth=4, blocks=1).state_dict()
    torch.save({"params_ema": tensors}, source / "realesrgan_full" / "weights.bin")


def describe(name: str, folder: Path, source: Path) -> str:
    """The entry of weights.toml for one weight whose files lie below `folder`."""
    lines = [f"[weights.{name}]", 'hub = "tiny"', 'license = "none"', 'source = "a test"', 'purpose = "noise"']
    lines.append(f"business = {str(name != 'antelopev2').lower()}")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if name in CONVERTED:
        (path,) = files
        lines += [f'convert = "{CONVERTED[name]}"', *describe_file(path, source, source)]
    else:
        tables = [", ".join(describe_file(path, source, folder)) for path in files]
        lines += [f'folder = "{name}"', "files = [", *(f"  {{ {table} }}," for table in tables), "]"]
    return "\n".join(lines) + "\n"


def describe_file(path: Path, source: Path, below: Path) -> list[str]:
    content = path.read_bytes()
    return [
        f'path = "{path.relative_to(source)}"',
        f'file = "{path.relative_to(below)}"',
        f"bytes = {len(content)}",
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"',
    ]
