"""Versions of looks: seed, draft, publish, restore, try on the built-in sample, import and export.

A look is a row of `Style`, which customers order. A version (`StyleVersion`) holds its content: title, description and
recipe (set, light, grade, prompt). Publishing copies a version into the `Style`. A pack keeps the versions that it was
planned with.
"""

import json
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from uuid import uuid4

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import slugify

from headshots import engine
from headshots.engine import load_styles
from headshots.engine.planning import recipe_faults
from headshots.shoots.lifecycle import key_expiry, purge_time, record_pack, start_tasks
from headshots.shoots.models import Headshot, Pack, Shoot, Style, StyleVersion
from headshots.vault import services as vault

# One picture with the look's own framing and light, and one with the next framing and light.
TRIAL_PICTURES = 2


class LookImportError(Exception):
    """A file of looks is invalid. The message names the look and the fault."""


@dataclass(frozen=True)
class LookContent:
    """The content of a version. `recipe`: fields of the pipeline's StyleSpec, by name."""

    title: str
    description: str = ""
    recipe: Mapping[str, object] = field(default_factory=dict)


def latest(style: Style) -> StyleVersion:
    """Return the newest version of a look, published or not. Every look has one."""
    newest = style.versions.first()
    assert newest is not None
    return newest


def is_draft(version: StyleVersion) -> bool:
    """Return True if the version has never been published."""
    return version.published_at is None


def differences(
    before: StyleVersion | LookContent, after: StyleVersion | LookContent
) -> dict[str, tuple[object, object]]:
    """Return {field: (before, after)} for every field that differs. A missing field counts as its default."""
    old, new = _comparable_content(before), _comparable_content(after)
    return {name: (old[name], new[name]) for name in old if old[name] != new[name]}


@transaction.atomic
def save_draft(*, style: Style, look: LookContent, created_by: int) -> StyleVersion:
    """Add a version that is not published yet."""
    Style.objects.select_for_update().get(pk=style.pk)
    return add_version(style=style, look=look, created_by=created_by)


@transaction.atomic
def create_look(*, name: str, look: LookContent, created_by: int) -> StyleVersion:
    """Create a look with one draft. The look is inactive until the draft is published."""
    last = Style.objects.aggregate(last=Max("position"))["last"] or 0
    style = Style.objects.create(
        name=name, title=look.title, description=look.description, recipe=dict(look.recipe), active=False,
        position=last + 1,
    )  # fmt: skip
    return add_version(style=style, look=look, created_by=created_by)


def add_version(*, style: Style, look: LookContent, created_by: int | None) -> StyleVersion:
    """Add the next version, unpublished. `created_by`: id of a staff account, None for built-in looks."""
    last = style.versions.aggregate(last=Max("number"))["last"] or 0
    return StyleVersion.objects.create(
        style=style, number=last + 1, title=look.title, description=look.description, recipe=dict(look.recipe),
        created_by=created_by,
    )  # fmt: skip


@transaction.atomic
def publish(*, version: StyleVersion) -> None:
    """Publish a version, so that new packs are planned with it.

    The first published version activates its look."""
    style = Style.objects.select_for_update().get(pk=version.style_id)
    is_first = style.current_id is None
    style.title, style.description, style.recipe = version.title, version.description, version.recipe
    style.current = version
    style.active = style.active or is_first
    style.save()
    StyleVersion.objects.filter(pk=version.pk, published_at=None).update(published_at=timezone.now())


@transaction.atomic
def restore_version(*, version: StyleVersion, created_by: int) -> StyleVersion:
    """Publish a copy of an older version as the newest one. Versions are never removed."""
    look = LookContent(version.title, version.description, version.recipe)
    again = save_draft(style=version.style, look=look, created_by=created_by)
    publish(version=again)
    return again


def start_trial(*, version: StyleVersion) -> Pack:
    """Queue a trial pack of the built-in sample in this version.

    The pack is excluded from statistics and is purged with its shoot within a day."""
    now = timezone.now()
    shoot = Shoot(id=uuid4(), created_at=now, delete_after=purge_time(now))
    size = engine.PREVIEW
    pack = Pack(
        shoot=shoot, kind=Pack.Kind.TRIAL, state=Pack.State.QUEUED, engine=engine.engine_name(), total=TRIAL_PICTURES,
        seed=secrets.randbelow(2**31), width=size.width, height=size.height, queued_at=now,
    )  # fmt: skip
    style = engine.style_from(name=version.style.name, title=version.title, recipe=version.recipe)
    shots = engine.plan([style], TRIAL_PICTURES, pack.seed)
    with transaction.atomic():
        shoot.save(force_insert=True)
        pack.save(force_insert=True)
        Headshot.objects.bulk_create(
            Headshot(
                pack=pack, index=shot.index, style=version.style, version=version, seed=shot.seed,
                framing=shot.framing, light=shot.light,
            )
            for shot in shots
        )  # fmt: skip
        StyleVersion.objects.filter(pk=version.pk).update(trial=pack)
        record_pack(pack, pack.state)
        start_tasks(pack.state, pack.pk)
        # Last, so that a failure above leaves no key. Beat purges open shoots without a key.
        vault.create_key(ring="source", key_id=shoot.pk, expires_at=key_expiry(now))
        vault.create_key(ring="result", key_id=pack.pk)
    version.trial = pack
    return pack


def export_toml(styles: Sequence[Style]) -> str:
    """Return the published looks in the format of the pipeline's styles.toml."""
    blocks = []
    for style in styles:
        facts = {"name": style.name, "title": style.title, "description": style.description, **style.recipe}
        lines = [f"{key} = {_toml(value)}" for key, value in facts.items() if value not in (None, "")]
        blocks.append("[[style]]\n" + "\n".join(lines) + "\n")
    return "\n".join(blocks)


@transaction.atomic
def import_toml(text: str, *, created_by: int) -> list[StyleVersion]:
    """Create a draft for each look of the file that differs from the stored one.

    Imports all or nothing. Raises LookImportError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LookImportError(f"This isn't valid TOML: {error}.") from error
    except ValueError as error:
        raise LookImportError("This isn't a valid look file. It contains a number with thousands of digits.") from error
    except RecursionError as error:
        raise LookImportError("This isn't a valid look file. It's nested too deeply.") from error
    rows = tables.pop("style", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise LookImportError("The file contains no [[style]] table.")
    if tables:
        raise LookImportError(f"Only [[style]] tables are allowed, not {', '.join(tables)[:80]}.")
    drafts = []
    for row in rows:
        name, look = _read(row)
        style = Style.objects.filter(name=name).first()
        if style is None:
            drafts.append(create_look(name=name, look=look, created_by=created_by))
        elif differences(latest(style), look):
            drafts.append(save_draft(style=style, look=look, created_by=created_by))
    return drafts


def _read(row: Mapping[str, object]) -> tuple[str, LookContent]:
    recipe = dict(row)
    name, title = recipe.pop("name", None), recipe.pop("title", None)
    description = recipe.pop("description", "")
    if not isinstance(name, str) or not name or slugify(name) != name or len(name) > 40:
        raise LookImportError(
            f"{name!r:.60} isn't a valid look name. Use up to 40 lowercase letters, digits and hyphens."
        )
    if "\0" in f"{title}{description}":
        raise LookImportError(f"{name}: title and description must not contain null characters.")
    if not isinstance(title, str) or not 0 < len(title) <= 80:
        raise LookImportError(f"{name}: the title must be text of 1 to 80 characters.")
    if not isinstance(description, str) or len(description) > 200:
        raise LookImportError(f"{name}: the description must be text of up to 200 characters.")
    if faults := recipe_faults(recipe):
        key, fault = next(iter(faults.items()))
        raise LookImportError(f"{name}, {key}: {fault}")
    return name, LookContent(title, description, recipe)


def _comparable_content(look: StyleVersion | LookContent) -> dict[str, object]:
    """Return the content of a look by field, with defaults for fields that the recipe leaves out."""
    fields = asdict(engine.style_from(name="any", title="any", recipe=dict(look.recipe)))
    return fields | {"title": look.title, "description": look.description}


def _toml(value: object) -> str:
    """Format a value as TOML. JSON strings are valid TOML basic strings once the DEL character is escaped."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f") if isinstance(value, str) else repr(value)


# The looks of the free preview: light, dark, outdoor, black and white.
PREVIEW_LOOKS = frozenset({"corporate", "executive", "outdoor", "bw"})


@transaction.atomic
def seed_styles() -> int:
    """Add the built-in looks that are missing, and return how many. Existing looks are not changed."""
    added = 0
    for position, style in enumerate(load_styles()):
        recipe = asdict(style)
        title, description = recipe.pop("title"), recipe.pop("description")
        look, created = Style.objects.get_or_create(
            name=recipe.pop("name"),
            defaults={
                "title": title,
                "description": description,
                "recipe": recipe,
                "position": position,
                "in_preview": style.name in PREVIEW_LOOKS,
            },
        )
        if created:
            # Every look has a version, so that packs keep their look's content when it is edited later.
            publish(version=add_version(style=look, look=LookContent(title, description, recipe), created_by=None))
        added += created
    return added
