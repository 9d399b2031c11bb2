"""Contact sheets of a folder of photos: one headshot per photo, with the figures of its framing."""

import argparse
import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.commands import (
    DONE,
    CommandFailed,
    echo,
    open_weights,
    print_json,
    progress_bar,
    read_photo,
    write_atomically,
)
from pipeline.commands.make import SIZES, Models, choose_styles, load_models, make_folder
from pipeline.engines import EngineName
from pipeline.engines.studio import StudioEngine
from pipeline.errors import PhotoRefused, Reason
from pipeline.files.finish import encode
from pipeline.photos.check import check_photo
from pipeline.photos.intake import clean_photo, load_pixels
from pipeline.quality.contact_sheet import Cell, draw_pages, shrink_for_cell
from pipeline.quality.framing_figures import FramingFigures, framing_faults, measure_framing
from pipeline.types import (
    DigitalSource,
    Framing,
    Job,
    Pixels,
    Shot,
    SourcePhoto,
    Status,
    StyleSpec,
    ignore_progress,
)

STYLE = "corporate"
SIZE = SIZES["preview", "4:5"]
OUT = Path("sheets")
TABLE = "sheet.csv"
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"})
DECIMALS = 3
# Below this confidence an area much wider than an outline is in doubt.
MIN_OUTLINE = 0.9


@dataclass(frozen=True)
class SheetRow:
    """The figures of one picture: one line of the table.

    Attributes:
        file: file name of the photo.
        style: name of the look. Empty if the photo was refused.
        framing: figures of the framing, or None if there is no picture or no face in it.
        outline: confidence in the person's outline, 0..1, or None if the engine does not measure it.
        faults: what a rule finds wrong, in words.
    """

    file: str
    style: str
    framing: FramingFigures | None
    outline: float | None
    faults: tuple[str, ...]

    def as_record(self) -> dict[str, str | float | None]:
        """Return the row as flat values, rounded so that two tables can be compared line by line."""
        figures = asdict(self.framing) if self.framing else dict.fromkeys(("eyes", "face", "center_x", "center_y"))
        numbers = {**figures, "outline": self.outline}
        rounded = {name: None if value is None else round(value, DECIMALS) for name, value in numbers.items()}
        return {"file": self.file, "style": self.style, **rounded, "faults": "; ".join(self.faults)}


def run(arguments: argparse.Namespace) -> int:
    """Make one headshot per photo and look. Write the contact sheets and the table of their figures."""
    paths = list_photos(arguments.folder)
    styles = choose_styles(arguments.style or (STYLE,))
    framing = Framing(arguments.framing)
    folder = make_folder(arguments.out or OUT)
    rows: list[SheetRow] = []
    cells: list[Cell] = []
    with progress_bar("Photos", total=len(paths), unit="photos") as bar:
        engine: EngineName = arguments.engine
        models = load_models(engine, open_weights(arguments))
        for path in paths:
            for row, cell in judge_photo(path, models, styles, framing):
                rows.append(row)
                cells.append(cell)
            bar.update()
    pages = []
    for number, page in enumerate(draw_pages(cells), start=1):
        pages.append(folder / f"sheet-{number:02d}.png")
        write_atomically(pages[-1], encode(page, DigitalSource.COMPOSITE, "png"))
    write_atomically(folder / TABLE, to_csv(rows).encode())
    if arguments.json:
        print_json([row.as_record() for row in rows])
    else:
        for row in rows:
            print(f"{row.file}  {figures_text(row)}  {'; '.join(row.faults)}".rstrip())
    within_rules = sum(not row.faults for row in rows)
    echo(f"{within_rules} of {len(rows)} without a fault. Written: {', '.join(map(str, [folder / TABLE, *pages]))}")
    return DONE


def list_photos(folder: Path) -> list[Path]:
    """Return the photos in a folder, sorted by name. Does not search its subfolders.

    Raises CommandFailed if there are none."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())
    except OSError as error:
        raise CommandFailed(f"{folder}: {error.strerror}") from error
    if not found:
        raise CommandFailed(f"{folder}: no photos ({', '.join(sorted(ENDINGS))})")
    return found


def judge_photo(
    path: Path, models: Models, styles: Sequence[StyleSpec], framing: Framing
) -> list[tuple[SheetRow, Cell]]:
    """Make the headshots of one photo and judge them. Uses the widest face if the photo shows several people.

    A refused photo has a single cell, which shows the photo itself."""
    try:
        pixels = load_pixels(clean_photo(read_photo(path)).data)
    except PhotoRefused as refused:
        return [_refused(path, [refused.reason], None)]
    check = check_photo(pixels, models.finder)
    if check.verdict.status is Status.REFUSED:
        return [_refused(path, check.verdict.reasons, shrink_for_cell(pixels))]
    chosen = check.verdict.face or 0
    bystanders = tuple(face for index, face in enumerate(check.faces) if index != chosen)
    photo = SourcePhoto(pixels, check.faces[chosen], bystanders)
    subject = models.engine.prepare([photo], SIZE)
    outline = models.engine.outline_confidence(photo, SIZE) if isinstance(models.engine, StudioEngine) else None
    jobs = [Job(subject, Shot(0, style, seed=0, framing=framing)) for style in styles]
    judged = []
    for picture in models.engine.render(jobs, SIZE, ignore_progress):
        style = picture.job.shot.style
        faces = models.finder.find(picture.pixels)
        figures = measure_framing(faces[0], picture.pixels.shape[:2]) if faces else None
        faults = framing_faults(figures, framing) if figures else ["no face found in the picture"]
        if outline is not None and outline < MIN_OUTLINE:
            faults.append("outline in doubt")
        row = SheetRow(path.name, style.name, figures, outline, tuple(faults))
        title = path.stem if len(styles) == 1 else f"{path.stem}, {style.name}"
        cell = Cell(title, shrink_for_cell(picture.pixels), figures_text(row), "; ".join(faults))
        judged.append((row, cell))
    return judged


def _refused(path: Path, reasons: Sequence[Reason], photo: Pixels | None) -> tuple[SheetRow, Cell]:
    faults = f"photo refused: {', '.join(reasons)}"
    return SheetRow(path.name, "", None, None, (faults,)), Cell(path.stem, photo, faults=faults)


def figures_text(row: SheetRow) -> str:
    """Return the figures as one line of text for people."""
    if row.framing is None:
        return ""
    of = row.framing
    text = f"eyes {of.eyes:.2f} face {of.face:.2f} at {of.center_x:.2f}, {of.center_y:.2f}"
    return text if row.outline is None else f"{text} outline {row.outline:.2f}"


def to_csv(rows: Sequence[SheetRow]) -> str:
    """Return the rows as CSV, with one line per picture."""
    records = [row.as_record() for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()
