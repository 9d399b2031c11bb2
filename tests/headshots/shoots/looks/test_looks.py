"""Looks in the hands of staff: drafts, trials, publishing, going back, files."""

import json
import tomllib
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from headshots.dashboard.models import AuditLogEntry
from headshots.dashboard.stats.daily_stats import Range, load_daily_stats
from headshots.dashboard.stats.live_stats import packs_by_state, queue_stats
from headshots.data_rights.export import collect_contents
from headshots.retention.due import purge_due
from headshots.shoots import pauses
from headshots.shoots.lifecycle import advance
from headshots.shoots.looks import versions
from headshots.shoots.looks.versions import seed_styles
from headshots.shoots.models import Event, Headshot, Pack, Pause, Photo, Shoot, Style, StyleVersion
from headshots.shoots.packs import rendering
from headshots.shoots.packs.gating import to_planned_shot
from headshots.vault.models import Blob
from tests.helpers.factories import deliver, make_preview
from tests.helpers.staff import client_of, do, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

STAFF = 7


@pytest.fixture
def style() -> Style:
    seed_styles()
    return Style.objects.get(name="corporate")


@pytest.fixture
def owner() -> Client:
    return client_of("owner")


def page(style: Style) -> str:
    return f"/admin/shoots/style/{style.pk}/change/"


def answers(style: Style, **changes: object) -> dict[str, object]:
    """The form as the page shows it, with changes."""
    look = versions.latest(style)
    right, down, front = look.recipe["key_light"]
    filled = {key: value for key, value in look.recipe.items() if key != "key_light" and value not in (None, False)}
    light = {"light_right": right, "light_down": down, "light_front": front}
    words = {"title": look.title, "description": look.description, "based_on": look.number}
    return {**words, **filled, **light, **changes}


def edited(style: Style, **changes: object) -> StyleVersion:
    look = versions.LookContent(style.title, style.description, {**style.recipe, **changes})
    return versions.save_draft(style=style, look=look, created_by=STAFF)


def test_an_edit_is_a_draft_that_nobody_sees(owner: Client, style: Style) -> None:
    recipe = dict(style.recipe)

    response = owner.post(page(style), answers(style, title="Company", key="0.4"))

    style.refresh_from_db()
    draft = style.versions.first()
    assert response.status_code == 302
    assert (style.title, style.recipe) == ("Corporate", recipe)
    assert (draft.number, draft.title, draft.recipe["key"]) == (2, "Company", 0.4)
    assert versions.is_draft(draft)
    assert 'value="Company"' in owner.get(page(style)).content.decode()


def test_an_edit_of_an_older_version_is_refused_until_it_is_meant(owner: Client, style: Style) -> None:
    mine = answers(style, description="Typed for a while")
    with time_machine.travel(datetime(2026, 11, 25, 14, 5, tzinfo=UTC), tick=False):
        versions.save_draft(style=style, look=versions.LookContent("Company", "", style.recipe), created_by=STAFF)

    refused = owner.post(page(style), mine)
    shown = refused.content.decode()
    kept = style.versions.count()
    again = owner.post(page(style), mine | {"based_on": refused.context["adminform"].form["based_on"].value()})

    assert refused.status_code == 200
    assert "Account 7 saved version 2 on Nov 25, 2026, 14:05 UTC" in shown
    assert 'value="Typed for a while"' in shown
    assert (kept, again.status_code, style.versions.count()) == (2, 302, 3)


def test_a_draft_that_is_sent_twice_is_one_draft_with_one_trial(owner: Client, style: Style) -> None:
    sent = answers(style, title="Company") | {"_try": "1"}

    twice = [owner.post(page(style), sent).status_code for _ in range(2)]

    assert twice == [302, 302]
    assert style.versions.count() == 2
    assert Pack.objects.filter(kind=Pack.Kind.TRIAL).count() == 1


def test_what_no_engine_can_take_is_told_at_its_field(owner: Client, style: Style) -> None:
    for field, value in (("key", "7"), ("set", "beach"), ("prompt", "no place for anybody"), ("light_front", "-0.5")):
        response = owner.post(page(style), answers(style, **{field: value}))

        assert response.status_code == 200
        assert field in response.context["adminform"].form.errors
    assert not StyleVersion.objects.filter(published_at=None).exists()


def test_a_set_can_be_a_plain_color(owner: Client, style: Style) -> None:
    wrong = owner.post(page(style), answers(style, set="plain_color", color="orange"))
    saved = owner.post(page(style), answers(style, set="plain_color", color="#FF6600"))

    assert list(wrong.context["adminform"].form.errors) == ["color"]
    assert saved.status_code == 302
    assert versions.latest(style).recipe["set"] == "#FF6600"
    shown = owner.get(page(style)).context["adminform"].form
    assert (shown["set"].value(), shown["color"].value()) == ("plain_color", "#FF6600")


def test_a_published_look_is_what_new_packs_are_made_in(owner: Client, style: Style) -> None:
    before = make_preview()
    draft = edited(style, key=0.9)

    do(owner, "publish-look", draft)
    after = make_preview()

    style.refresh_from_db()
    assert (style.recipe["key"], style.current) == (0.9, draft)
    assert after.headshots.get(style=style).version == draft
    assert to_planned_shot(after.headshots.get(style=style)).style.key == 0.9
    assert before.headshots.get(style=style).version.number == 1
    assert AuditLogEntry.objects.get().action == "publish-look"


def test_a_pack_keeps_the_version_that_it_was_planned_with(style: Style) -> None:
    versions.publish(version=edited(style, key=0.5))
    pack = make_preview()

    versions.publish(version=edited(style, key=0.9))

    row = pack.headshots.select_related("style", "version").get(style=style)
    assert to_planned_shot(row).style.key == 0.5


def test_a_renamed_look_is_still_called_what_it_was_in_packs_ordered_before(owner: Client, style: Style) -> None:
    pack = make_preview()
    person = signed_in(pack.shoot.owner)
    owner.post(page(style), answers(style, title="Company", key="0.4"))
    versions.publish(version=style.versions.first())
    deliver(pack)

    shown = person.get(f"/shoots/{pack.shoot_id}/").content.decode()
    report = collect_contents(pack.shoot.owner).account["shoots"][0]["packs"][0]["headshots"]
    page_of_style = owner.get(page(style)).content.decode()

    assert "Corporate" in shown
    assert "Company" not in shown
    assert {row["look"] for row in report} >= {"Corporate"}
    assert to_planned_shot(pack.headshots.get(style=style)).style.key == style.recipe["key"]
    assert "<td>built-in</td>" in page_of_style, "and no date on which nothing was made"


def test_going_back_publishes_the_older_version_anew(owner: Client, style: Style) -> None:
    built_in = dict(style.recipe)
    versions.publish(version=edited(style, key=0.9))

    do(owner, "restore-look", style.versions.get(number=1))

    style.refresh_from_db()
    assert style.recipe == built_in
    assert [version.number for version in style.versions.all()] == [3, 2, 1]
    assert style.current.number == 3
    assert all(version.published_at for version in style.versions.all())


def test_going_back_brings_the_words_back_that_were_edited_on_the_page(owner: Client, style: Style) -> None:
    owner.post(page(style), answers(style, title="Company", description="Of a company"))
    versions.publish(version=style.versions.first())

    do(owner, "restore-look", style.versions.get(number=1))

    again = Style.objects.get(pk=style.pk)
    assert (again.title, again.description) == (style.title, style.description)


@pytest.mark.parametrize("who", ["support", "finance", "staff", "person", "nobody"])
def test_looks_are_the_owners_alone(style: Style, who: str) -> None:
    version = edited(style, key=0.5)
    versions.start_trial(version=version)
    deliver(version.trial)
    picture = version.trial.headshots.first()
    client = client_of(who)

    for address in (
        page(style),
        f"/admin/shoots/style/{style.pk}/trial/",
        f"/admin/shoots/style/trials/{picture.pk}.jpg",
        "/admin/shoots/style/export.toml",
        "/admin/shoots/style/import/",
    ):
        assert client.get(address).status_code in (302, 403), address
    assert client.post(f"/admin/shoots/style/versions/{version.pk}/try/").status_code in (302, 403)
    assert client.post(page(style), answers(style)).status_code in (302, 403)
    assert Pack.objects.count() == 1
    assert style.versions.count() == 2


def test_a_draft_is_tried_on_the_sample_and_seen(owner: Client, style: Style) -> None:
    owner.post(page(style), answers(style, key="0.4") | {"_try": "1"})
    version = style.versions.first()
    waiting = owner.get(page(style)).content.decode()

    rendering.render_pack(pack=version.trial)
    shown = owner.get(page(style)).content.decode()
    picture = version.trial.headshots.first()
    response = owner.get(f"/admin/shoots/style/trials/{picture.pk}.jpg")

    version.trial.refresh_from_db()
    assert "is being rendered with the sample photo" in waiting
    assert version.trial.state == Pack.State.DELIVERED
    assert shown.count("/admin/shoots/style/trials/") == versions.TRIAL_PICTURES
    assert response.content[:2] == b"\xff\xd8"
    assert "no-store" in response["Cache-Control"]
    assert picture.version == version
    assert not Photo.objects.exists()


def test_a_trial_says_what_it_waits_for(owner: Client, style: Style) -> None:
    before = make_preview()
    versions.start_trial(version=edited(style, key=0.4))

    def report() -> str:
        shown = owner.get(f"/admin/shoots/style/{style.pk}/trial/").content.decode()
        return shown.partition('<p role="status">')[2].partition("</p>")[0]

    behind = report()
    pauses.pause(Pause.Part.RENDERING)
    paused = report()
    pauses.resume(Pause.Part.RENDERING)
    advance(before, Pack.State.CANCELED)

    assert behind == "Version 2 is waiting behind 1 pack…"
    assert paused == "Version 2 is waiting, because rendering is paused."
    assert report() == "Version 2 is being rendered with the sample photo…"


def test_a_trial_is_in_no_figure_and_gone_after_a_day(style: Style) -> None:
    version = edited(style, key=0.5)
    waiting = queue_stats(), packs_by_state()

    versions.start_trial(version=version)
    queued = queue_stats(), packs_by_state()
    rendering.render_pack(pack=version.trial)
    counts = +load_daily_stats(Range.until_today(1)).total
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        purge_due()

    assert waiting == queued
    assert counts == {}
    assert Shoot.objects.get().state == Shoot.State.PURGED
    assert not Blob.objects.exists()
    assert not Headshot.objects.exists()


def test_no_customers_picture_comes_out_of_the_trials_address(owner: Client) -> None:
    pack = make_preview()
    deliver(pack)

    assert owner.get(f"/admin/shoots/style/trials/{pack.headshots.first().pk}.jpg").status_code == 404


def test_a_new_look_is_offered_with_its_first_publishing(owner: Client, style: Style) -> None:
    owner.post("/admin/shoots/style/add/", answers(style, name="vineyard", title="Vineyard"))
    new = Style.objects.get(name="vineyard")
    active_before = new.active

    do(owner, "publish-look", new.versions.get())

    new.refresh_from_db()
    assert not active_before
    assert new.active
    assert new.position > style.position


def test_the_list_orders_and_offers_and_keeps_one_for_free_packs(owner: Client, style: Style) -> None:
    rows = list(Style.objects.all())
    form = {"form-TOTAL_FORMS": str(len(rows)), "form-INITIAL_FORMS": str(len(rows)), "_save": "Save"}
    for number, row in enumerate(rows):
        form |= {f"form-{number}-id": str(row.pk), f"form-{number}-position": str(len(rows) - number)}
    none_free = form | {f"form-{number}-active": "on" for number in range(len(rows))}

    refused = owner.post("/admin/shoots/style/", none_free)
    unchanged = Style.objects.filter(in_preview=True).count()
    owner.post("/admin/shoots/style/", none_free | {"form-0-in_preview": "on"})

    assert "At least one look must be active and in free packs" in refused.content.decode()
    assert unchanged == 4
    assert list(Style.objects.values_list("name", flat=True))[-1] == rows[0].name
    assert list(Style.objects.filter(in_preview=True)) == [rows[0]]
    assert not StyleVersion.objects.filter(published_at=None).exists()


def test_looks_are_never_deleted(owner: Client, style: Style) -> None:
    assert owner.post(f"/admin/shoots/style/{style.pk}/delete/", {"post": "yes"}).status_code == 403


# Files ------------------------------------------------------------------------------------------------------------


def upload(owner: Client, text: str | bytes) -> object:
    data = text.encode() if isinstance(text, str) else text
    return owner.post("/admin/shoots/style/import/", {"file": SimpleUploadedFile("looks.toml", data)})


def test_an_export_comes_back_without_a_change(owner: Client, style: Style) -> None:
    exported = owner.get("/admin/shoots/style/export.toml")

    upload(owner, exported.content)

    assert exported["Content-Disposition"] == 'attachment; filename="looks.toml"'
    assert not StyleVersion.objects.filter(published_at=None).exists()
    assert versions.import_toml(exported.content.decode(), created_by=STAFF) == []


def test_an_export_can_be_read_again_whatever_a_title_contains(style: Style) -> None:
    style.title = 'Tab\t, "quotes", backslash \\, DEL \x7f'

    read = tomllib.loads(versions.export_toml([style]))

    assert read["style"][0]["title"] == style.title


def test_what_differs_in_a_file_becomes_drafts(owner: Client, style: Style) -> None:
    text = owner.get("/admin/shoots/style/export.toml").content.decode()
    text = text.replace('title = "Corporate"', 'title = "Corporate \\"X\\" Ümläut"')
    text += '\n[[style]]\nname = "vineyard"\ntitle = "Vineyard"\nset = "park"\nprompt = "photo of {person}"\n'

    upload(owner, text)

    style.refresh_from_db()
    drafts = StyleVersion.objects.filter(published_at=None)
    assert {draft.title for draft in drafts} == {'Corporate "X" Ümläut', "Vineyard"}
    assert style.title == "Corporate"
    assert not Style.objects.get(name="vineyard").active


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[style", "t valid TOML"),
        ("a = " + 3000 * "[" + 3000 * "]", "nested too deeply"),
        ('[evil]\nname = 1\n[[style]]\nname = "a"\ntitle = "x"', "Only [[style]] tables are allowed, not evil"),
        ("name = 'x'", "contains no [[style]] table"),
        ("style = 3", "contains no [[style]] table"),
        ('[[style]]\nname = "A B"\ntitle = "x"', "t a valid look name"),
        ('[[style]]\nname = "a"', "a: the title must be text"),
        ('[[style]]\nname = "a"\ntitle = "x"\nkey = 3', "a, key: Must be a number from 0 to 1."),
        ('[[style]]\nname = "a"\ntitle = "x"\n\n[[style]]\nname = "b"\ntitle = "x"\nset = "beach"', "b, set"),
        (b"\xff\xfe\x00", "t a text file"),
        (f'[[style]]\nname = "a"\ntitle = "x"\nkey = {"9" * 400}', "a, key: Must be a number from 0 to 1."),
        (f'[[style]]\nname = "a"\ntitle = "x"\nkey_light = [0, 0, {"9" * 400}]', "a, key_light: Each number"),
        (f'[[style]]\nname = "a"\ntitle = "x"\nkey = {"9" * 5000}', "a number with thousands of digits"),
        (f'[[style]]\nname = {"9" * 400}\ntitle = "x"', "t a valid look name"),
        ('[[style]]\nname = "a"\ntitle = "x"\nkey = 1e999', "a, key: Must be a number from 0 to 1."),
        ('[[style]]\nname = "a"\ntitle = "x\\u0000"', "null characters"),
        ('[[style]]\nname = "a"\ntitle = "x"\nprompt = "{person}\\u0000"', "null characters"),
    ],
)
def test_a_bad_file_is_told_and_changes_nothing(owner: Client, style: Style, text: str | bytes, words: str) -> None:
    count = Style.objects.count()

    response = upload(owner, text)

    assert response.status_code == 422
    assert words in response.content.decode().replace("&#x27;", "'")
    assert not StyleVersion.objects.filter(published_at=None).exists()
    assert Style.objects.count() == count


def test_drafts_and_trials_leave_no_words_in_events(style: Style) -> None:
    version = edited(style, prompt="photo of {person} in a secret garden")
    versions.start_trial(version=version)

    assert "secret garden" not in json.dumps(list(Event.objects.values_list("codes", "numbers")))
