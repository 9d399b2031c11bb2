"""What people say about themselves: asked where the engine draws, kept like a photo, read by prompts alone."""

import errno
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.engine import rendering as engine_rendering
from headshots.retention.orphans import sweep_orphans
from headshots.retention.purging import purge_shoot
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Pack, Shoot
from headshots.shoots.packs import rendering
from headshots.shoots.self_description import (
    AGES,
    HAIR,
    KINDS,
    NO_SELF_DESCRIPTION,
    OUTFITS,
    STORED_BYTES,
    read_self_description,
    write_self_description,
)
from headshots.shoots.uploads import photo_checks
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone, VaultUnavailable
from headshots.vault.models import Blob
from headshots.vault.services import blob_store, name_of, read_blob
from pipeline.engines.fake import FakeEngine
from pipeline.engines.instantid.looks import prompts_for
from pipeline.types import Job, Picture, Progress, Shot, Size
from tests.helpers import photos
from tests.helpers.factories import make_shoot, make_user, seed_styles

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

SAID = {"kind": "woman", "age": "forties", "hair": "long_dark", "outfit": "scrubs", "glasses": "on"}
PERSON = engine.SelfDescription(
    engine.PersonKind.WOMAN,
    engine.AgeBand.FORTIES,
    engine.Hair.LONG_DARK,
    glasses=True,
    outfit=engine.Outfit.SCRUBS,
)


class Drawing(FakeEngine):
    """Remembers which shots it was asked for."""

    def __init__(self) -> None:
        self.shots: list[Shot] = []

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        self.shots += [job.shot for job in jobs]
        yield from super().render(jobs, size, on_progress)


@pytest.fixture
def drawing(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Drawing:
    """Settings under which new pictures are drawn; the fake that draws them stands in for gigabytes of weights."""
    settings.HEADSHOTS_ENGINE = "instantid"
    fake = Drawing()
    monkeypatch.setattr(engine_rendering, "create_engine", lambda *_: fake)
    return fake


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


def upload(browser: Client, **said: str) -> "object":
    with photos.astronaut_path().open("rb") as file:
        return browser.post("/shoots/new/", {"photos": [file], "consent": "on", "is_me": "on", **said})


def test_what_a_person_chose_reaches_the_prompt_of_each_picture(browser: Client, drawing: Drawing) -> None:
    seed_styles()
    upload(browser, **SAID)
    photo_checks.check_photo(photo=Shoot.objects.get().photos.get())

    rendering.render_pack(pack=Pack.objects.get())

    assert {shot.self_description for shot in drawing.shots} == {PERSON}
    for shot in drawing.shots:
        prompt, _ = prompts_for(shot)
        assert "a woman in her forties, with long dark hair, wearing glasses" in prompt
        assert "wearing clean medical scrubs" in prompt


def test_it_lies_encrypted_in_the_vault_and_in_no_table(browser: Client, drawing: Drawing) -> None:
    upload(browser, **SAID)

    blob = Blob.objects.get(kind="self_description")
    with blob_store().open(name_of(blob)) as file:
        stored = file.read()
    assert b"long_dark" in read_blob(blob)
    assert b"long_dark" not in stored
    assert (blob.ring, blob.key_id) == ("source", Shoot.objects.get().pk)
    assert "long_dark" not in _whole_database()


def test_the_size_of_what_was_said_tells_nothing(drawing: Drawing) -> None:
    sizes = set()
    for person in (PERSON, engine.SelfDescription(engine.PersonKind.MAN), engine.SelfDescription(headscarf=True)):
        shoot = make_shoot()
        write_self_description(shoot=shoot, self_description=person)
        sizes.add(Blob.objects.get(kind="self_description", key_id=shoot.pk).size)

    assert sizes == {STORED_BYTES}


def test_whoever_says_nothing_is_not_described(browser: Client, drawing: Drawing) -> None:
    response = upload(browser, kind="person", age="", hair="", outfit="")

    assert response.status_code == 302
    assert not Blob.objects.filter(kind="self_description").exists()
    assert read_self_description(shoot=Shoot.objects.get()) == NO_SELF_DESCRIPTION


@pytest.mark.parametrize("field", ["kind", "age", "hair", "outfit"])
def test_a_word_outside_of_the_lists_is_refused_and_nothing_is_stored(
    browser: Client, drawing: Drawing, field: str
) -> None:
    response = upload(browser, **{**SAID, field: "wearing nothing but a crown"})

    assert response.status_code == 422
    assert field in response.context["about"].errors
    page = response.content.decode()
    assert "Please choose one of the options." in page
    assert "choose your photos again" in page
    assert "crown" not in page
    assert not Blob.objects.exists()


def test_the_studio_never_asks_and_keeps_no_answer(browser: Client) -> None:
    page = browser.get("/shoots/new/").content.decode()
    upload(browser, **SAID)
    shoot = Shoot.objects.get()

    assert "About you" not in page
    assert not Blob.objects.filter(kind="self_description").exists()
    assert "your answers about yourself" not in browser.get(f"/shoots/{shoot.pk}/").content.decode()
    assert browser.get(f"/shoots/{shoot.pk}/about/").status_code == 404
    assert browser.post(f"/shoots/{shoot.pk}/about/", SAID).status_code == 404


def test_where_pictures_are_drawn_the_form_asks_with_labels(browser: Client, drawing: Drawing) -> None:
    page = browser.get("/shoots/new/").content.decode()

    for name in ("kind", "age", "hair", "outfit", "beard", "glasses", "headscarf"):
        assert f'for="id_{name}"' in page
        assert f'id="id_{name}"' in page
    assert 'type="text"' not in page
    assert "<textarea" not in page


def test_it_can_be_corrected_until_the_photos_go(browser: Client, drawing: Drawing) -> None:
    upload(browser, **SAID)
    shoot = Shoot.objects.get()
    old = Blob.objects.get(kind="self_description")

    shown = browser.get(f"/shoots/{shoot.pk}/about/")
    browser.post(f"/shoots/{shoot.pk}/about/", {"kind": "man", "beard": "on", "headscarf": "on"})

    assert '<option value="long_dark" selected>' in shown.content.decode()
    assert shown["Cache-Control"] == "no-store, private"
    assert read_self_description(shoot=shoot) == engine.SelfDescription(
        engine.PersonKind.MAN, beard=True, headscarf=True
    )
    assert old.id not in blob_store().ids("source")
    assert Blob.objects.filter(kind="self_description").count() == 1

    browser.post(f"/shoots/{shoot.pk}/about/", {"kind": "person"})
    assert not Blob.objects.filter(kind="self_description").exists()
    begin_purge(shoot)
    assert browser.post(f"/shoots/{shoot.pk}/about/", SAID).status_code == 404
    assert not write_self_description(shoot=shoot, self_description=PERSON)
    assert not Blob.objects.filter(kind="self_description").exists()


def test_a_correction_outside_of_the_lists_changes_nothing(browser: Client, drawing: Drawing) -> None:
    upload(browser, **SAID)
    shoot = Shoot.objects.get()

    response = browser.post(f"/shoots/{shoot.pk}/about/", {**SAID, "hair": "green"})

    assert response.status_code == 422
    assert read_self_description(shoot=shoot) == PERSON


@pytest.mark.parametrize(
    "fault", [VaultUnavailable("503"), OSError(errno.ENOSPC, "disk full"), OperationalError("database is locked")]
)
def test_a_correction_that_cannot_be_saved_stays_in_the_form_and_says_so(
    browser: Client, drawing: Drawing, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    upload(browser, **SAID)
    shoot = Shoot.objects.get()
    corrected = {"kind": "man", "age": "seventies", "hair": "bald", "outfit": "knit", "headscarf": "on"}

    def fail(**_arguments: object) -> None:
        raise fault

    with monkeypatch.context() as away:
        away.setattr(vault, "write_blob", fail)
        response = browser.post(f"/shoots/{shoot.pk}/about/", corrected)

    page = response.content.decode()
    assert response.status_code == 503
    assert "We couldn&#x27;t save your answers." in page
    assert "Please try again in a minute" in page
    for value in ("man", "seventies", "bald", "knit"):
        assert f'<option value="{value}" selected>' in page
    assert page.count(" checked") == 1
    assert read_self_description(shoot=shoot) == PERSON
    assert browser.post(f"/shoots/{shoot.pk}/about/", corrected).status_code == 302
    assert read_self_description(shoot=shoot).hair == engine.Hair.BALD


def test_answers_that_cannot_be_read_now_are_not_shown_as_empty_ones(
    browser: Client, drawing: Drawing, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(browser, **SAID)
    shoot = Shoot.objects.get()

    def fail(_blob: Blob) -> None:
        raise VaultUnavailable("503")

    with monkeypatch.context() as away:
        away.setattr(vault, "read_blob", fail)
        response = browser.get(f"/shoots/{shoot.pk}/about/")

    page = response.content.decode()
    assert response.status_code == 503
    assert "We can’t show your answers right now" in page
    assert "<select" not in page
    assert "selected>" in browser.get(f"/shoots/{shoot.pk}/about/").content.decode()


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "damaged"])
def test_answers_whose_file_is_lost_can_be_given_again(
    browser: Client, drawing: Drawing, settings: LazySettings, is_there: bool
) -> None:
    upload(browser, **SAID)
    shoot = Shoot.objects.get()
    blob = Blob.objects.get(kind="self_description")
    (file,) = (settings.HEADSHOTS_DATA_DIR / "blobs").rglob(f"{blob.pk}*")
    file.write_bytes(b"damaged") if is_there else file.unlink()

    shown = browser.get(f"/shoots/{shoot.pk}/about/")
    browser.post(f"/shoots/{shoot.pk}/about/", SAID)

    assert shown.status_code == 200
    assert "Please choose them again." in shown.content.decode()
    assert '<option value="long_dark" selected>' not in shown.content.decode()
    assert read_self_description(shoot=shoot) == PERSON


def test_a_correction_of_a_shoot_that_is_deleted_at_this_moment_leads_to_its_page(
    browser: Client, drawing: Drawing
) -> None:
    upload(browser, **SAID)
    shoot = Shoot.objects.get()
    vault.destroy_key(ring="source", key_id=shoot.pk)

    shown = browser.get(f"/shoots/{shoot.pk}/about/")
    sent = browser.post(f"/shoots/{shoot.pk}/about/", SAID)

    assert shown.url == sent.url == shoot.get_absolute_url()


def test_a_stranger_sees_and_changes_nothing(browser: Client, drawing: Drawing, client: Client) -> None:
    upload(browser, **SAID)
    shoot = Shoot.objects.get()
    stranger = Client()
    stranger.force_login(make_user())

    for somebody in (stranger, Client()):
        assert somebody.get(f"/shoots/{shoot.pk}/about/").status_code == 404
        assert somebody.post(f"/shoots/{shoot.pk}/about/", {"kind": "man"}).status_code == 404
    assert read_self_description(shoot=shoot) == PERSON


def test_it_goes_with_the_photos(drawing: Drawing) -> None:
    shoot = make_shoot()
    write_self_description(shoot=shoot, self_description=PERSON)
    blob = Blob.objects.get(kind="self_description")
    begin_purge(shoot)

    assert purge_shoot(shoot=shoot)

    assert blob.id not in blob_store().ids("source")
    assert not Blob.objects.filter(kind="self_description").exists()
    shoot.refresh_from_db()
    assert shoot.self_description_blob is None
    with pytest.raises(KeyGone):
        read_blob(blob)


def test_the_sweep_leaves_it_alone_while_the_shoot_is_open(drawing: Drawing) -> None:
    shoot = make_shoot()
    write_self_description(shoot=shoot, self_description=PERSON)
    Blob.objects.update(created_at=timezone.now() - timedelta(hours=2))

    sweep_orphans()

    assert read_self_description(shoot=shoot) == PERSON


def test_every_word_that_the_engine_knows_can_be_chosen() -> None:
    for words, known in (
        (KINDS, engine.PersonKind),
        (AGES, engine.AgeBand),
        (HAIR, engine.Hair),
        (OUTFITS, engine.Outfit),
    ):
        assert list(words) == list(known)


def test_nothing_that_was_said_shows_when_a_prepared_subject_is_printed() -> None:
    prepared_subject = engine.PreparedSubject(subject=None, gate_reference=None, self_description=PERSON)  # type: ignore[arg-type]

    assert "long_dark" not in repr(prepared_subject)


def _whole_database() -> str:
    """Every value of every row."""
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            rows += cursor.fetchall()
    return repr(rows)
