"""What a person sees of a premium pack: progress and time, 1,200 px on the page, 4K to take home, a ZIP of folders."""

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.core.cache import cache
from django.test import AsyncClient, Client
from django.utils import timezone
from PIL import Image

from headshots.accounts.models import User
from headshots.shoots import pauses
from headshots.shoots.lifecycle import advance, record, record_failure
from headshots.shoots.models import Headshot, Pack, Pause, Preparation
from headshots.shoots.packs import rendering
from headshots.shoots.packs.estimates import Facts, Pace, estimate, estimate_from, past_pace
from tests.helpers.factories import make_premium, make_user

COUNT = 3
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
PACE = Pace(preparing=100.0, picture=2.0)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def pack(db: None, fake_engine: None, settings: LazySettings, person: User) -> Iterator[Pack]:
    settings.HEADSHOTS_PREMIUM_COUNT, settings.HEADSHOTS_PREMIUM_LONG_EDGE = COUNT, 1600
    return make_premium(person)


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


async def _download(browser: AsyncClient, person: User, url: str) -> bytes:
    await browser.aforce_login(person)
    response = await browser.get(url)
    name = "headshots-1600-pixels-favorites" if "favorites" in url else "headshots-1600-pixels"
    assert response["Content-Disposition"] == f'attachment; filename="{name}.zip"'
    body = b"".join([chunk async for chunk in response.streaming_content])
    assert len(body) == int(response["Content-Length"])
    return body


def test_the_page_shows_thumbnails_and_never_loads_the_large_files(pack: Pack, browser: Client) -> None:
    rendering.render_pack(pack=pack)

    page = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()

    section = page[page.index(f'id="pack-{pack.pk}"') :]
    sources = re.findall(r'<img src="([^"]+)"[^>]*loading="lazy"', section)
    assert len(sources) == COUNT
    assert all(source.endswith("/thumbnail.jpg") for source in sources)
    thumbnails = [browser.get(source) for source in sources]
    shown = Image.open(io.BytesIO(thumbnails[0].content))
    assert (shown.format, shown.size, thumbnails[0]["Content-Type"]) == ("WEBP", (400, 500), "image/webp")
    assert "digitalsourcetype/composite" in str(shown.info["xmp"])
    # A page of fifty stays below 2 MB.
    assert max(len(each.content) for each in thumbnails) < 35_000
    downloads = re.findall(r'<a href="([^"]+)\?download" download>(1,600 pixels|Web|Profile)</a>', section)
    assert len(downloads) == 3 * COUNT
    sizes = {words: Image.open(io.BytesIO(browser.get(url).content)).size for url, words in downloads}
    assert sizes == {"1,600 pixels": (1280, 1600), "Web": (960, 1200), "Profile": (600, 600)}
    assert f"Your {COUNT} headshots at 1,600 pixels" in section


def test_each_headshot_has_a_page_of_its_own_between_its_neighbors(pack: Pack, browser: Client) -> None:
    rendering.render_pack(pack=pack)
    page = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()
    pages = re.findall(rf'href="(/shoots/{pack.shoot_id}/headshots/[0-9a-f-]+/)"', page)[:COUNT]

    first, second, last = (browser.get(pages[place]).content.decode() for place in (0, 1, -1))

    assert len(set(pages)) == COUNT
    assert f"1 of {COUNT}" in first
    assert 'rel="prev"' not in first
    assert f'rel="next" href="{pages[1]}"' in first
    assert f'rel="prev" href="{pages[0]}"' in second
    assert 'rel="next"' not in last
    assert "/web.jpg" in first
    assert len(re.findall(r"\?download", first)) == 3
    assert Client().get(pages[0]).status_code in {302, 404}
    stranger = Client()
    stranger.force_login(make_user())
    assert stranger.get(pages[0]).status_code == 404
    pack.headshots.filter(index=0).update(state="rejected")
    assert sorted(browser.get(address).status_code for address in pages) == [200] * (COUNT - 1) + [404]


def test_favorites_are_marked_and_have_a_zip_of_their_own(pack: Pack, browser: Client, person: User) -> None:
    rendering.render_pack(pack=pack)
    row = pack.headshots.get(index=1)
    address = f"/shoots/{pack.shoot_id}/headshots/{row.pk}/favorite/"
    stranger = Client()
    stranger.force_login(make_user())

    assert stranger.post(address, {"favorite": "1"}).status_code == 404
    assert browser.get(address).status_code == 405
    assert browser.post(address, {"favorite": "1", "script": "1"}).status_code == 204

    page = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()
    assert "Download 1 favorite (ZIP)" in page
    archive = async_to_sync(_download)(
        AsyncClient(), person, f"/shoots/{pack.shoot_id}/packs/{pack.pk}/download.zip?favorites"
    )
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        assert len(files.namelist()) == 3 + 1
    browser.post(address, {"favorite": "0"})
    row.refresh_from_db()
    assert not row.is_favorite


def test_each_version_is_saved_under_a_name_of_its_own(pack: Pack, browser: Client) -> None:
    rendering.render_pack(pack=pack)
    row = pack.headshots.get(index=2)
    address = f"/shoots/{pack.shoot_id}/headshots/{row.pk}"

    names = [
        browser.get(f"{address}{version}.jpg?download")["Content-Disposition"].split('"')[1]
        for version in ("", "/web", "/profile")
    ]

    assert names == [f"headshot-03-{row.style.name}{version}.jpg" for version in ("", "-web", "-profile")]
    assert browser.get(f"{address}/raw.jpg").status_code == 404


def test_the_zip_has_a_folder_for_each_version(pack: Pack, person: User) -> None:
    rendering.render_pack(pack=pack)

    url = f"/shoots/{pack.shoot_id}/packs/{pack.pk}/download.zip"
    archive = async_to_sync(_download)(AsyncClient(), person, url)

    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        assert files.testzip() is None
        names = files.namelist()
        assert Image.open(io.BytesIO(files.read("full/headshot-01-corporate.jpg"))).size == (1280, 1600)
    assert len(names) == len(set(names)) == 3 * COUNT + 1
    assert {name.partition("/")[0] for name in names} == {"full", "web", "profile", "README.txt"}


def test_preparing_is_shown_with_the_time_that_is_left_and_a_way_out(pack: Pack, browser: Client) -> None:
    advance(pack, Pack.State.RENDERING)
    began = timezone.now() - timedelta(seconds=120)
    later = timezone.now() + timedelta(minutes=1)
    Preparation.objects.create(pack=pack, lease_token=pack.pk, lease_until=later, began_at=began, share=0.5)

    page = browser.get(f"/shoots/{pack.shoot_id}/progress/").content.decode()

    assert "(this happens once per pack)." in page
    assert "%" not in page.split("Preparing you", 1)[1].split("</p>", 1)[0]
    assert "About 2 minutes left." in page
    assert "Stop this pack" in page
    packs = browser.get(f"/shoots/{pack.shoot_id}/status.json").json()["packs"]
    (shown,) = (each for each in packs if each["total"] == COUNT)
    assert 120 <= shown["seconds_left"] <= 150


def test_a_person_stops_their_pack_while_nothing_is_shown(pack: Pack, browser: Client) -> None:
    advance(pack, Pack.State.RENDERING)

    browser.post(f"/shoots/{pack.shoot_id}/packs/{pack.pk}/cancel/")

    pack.refresh_from_db()
    assert pack.state == Pack.State.CANCELED
    page = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()
    assert "You stopped this pack before any headshots were made." in page
    assert "You haven’t lost anything" in page


def test_once_something_is_shown_there_is_nothing_to_stop(pack: Pack, browser: Client) -> None:
    advance(pack, Pack.State.RENDERING)
    Headshot.objects.filter(pack=pack, index=0).update(state=Headshot.State.DONE, done_at=timezone.now())

    page = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()
    answer = browser.post(f"/shoots/{pack.shoot_id}/packs/{pack.pk}/cancel/", follow=True)

    assert "Stop this pack" not in page
    assert "be stopped anymore" in answer.content.decode()
    pack.refresh_from_db()
    assert pack.state == Pack.State.RENDERING


def test_a_preview_cannot_be_stopped_like_a_pack(pack: Pack, browser: Client) -> None:
    preview = Pack.objects.get(shoot=pack.shoot, kind=Pack.Kind.PREVIEW)

    assert browser.post(f"/shoots/{pack.shoot_id}/packs/{preview.pk}/cancel/").status_code == 404


# How long it will take ----------------------------------------------------------------------------------------------


def test_before_anything_is_known_past_packs_tell_the_time() -> None:
    found = estimate_from(Facts(PACE, total=50, missing=50, ahead=2, waiting=300.0), NOON)

    assert (found.share, found.seconds_left, found.preparing, found.ahead) == (0.0, 500.0, None, 2)


def test_a_preparation_is_believed_the_more_the_further_it_is() -> None:
    begun = estimate_from(Facts(PACE, 50, 50, since=NOON, share=0.2), after(60))
    done = estimate_from(Facts(PACE, 50, 50, since=NOON, share=0.8), after(240))

    # By its own pace it takes 300 s, by past ones 100 s.
    assert begun.preparing == 0.2
    assert begun.seconds_left == pytest.approx(0.16 * 300 + 0.84 * 100 - 60 + 100)
    assert begun.share == pytest.approx(60 / 232)
    assert done.seconds_left == pytest.approx(300 - 240 + 100)


def test_a_preparation_that_has_only_begun_is_believed_to_be_like_the_others() -> None:
    found = estimate_from(Facts(PACE, 50, 50, since=NOON, share=0.01), after(40))

    assert 100 + 50 < found.seconds_left < 100 + 80


@pytest.mark.parametrize("seconds", [1.0, 4.0])
def test_a_packs_own_pace_counts_more_with_every_picture(seconds: float) -> None:
    errors = []
    for made in (1, 5, 10, 25, 40):
        done = tuple(after(100 + seconds * (each + 1)) for each in range(made))
        found = estimate_from(Facts(PACE, 50, 50 - made, done, NOON, 1.0, after(100)), done[-1])
        errors.append(abs(found.seconds_left / (seconds * (50 - made)) - 1))

    assert errors == sorted(errors, reverse=True)
    assert max(errors[1:]) <= 1 / 3


def test_pictures_that_come_ten_at_once_do_not_look_like_a_sprint() -> None:
    bursts = tuple(after(100 + 20 * (each // 10 + 1)) for each in range(30))

    found = estimate_from(Facts(PACE, 50, 20, bursts, NOON, 1.0, after(100)), bursts[-1])

    assert found.seconds_left == pytest.approx(40, rel=0.1)


def test_a_crash_in_the_middle_is_forgotten_ten_pictures_later() -> None:
    done = tuple(after(2.0 * each + (60 if each > 20 else 0)) for each in range(1, 36))

    found = estimate_from(Facts(PACE, 50, 15, done, NOON, 1.0, NOON), done[-1])

    assert found.seconds_left == pytest.approx(30, rel=0.1)


def test_what_past_packs_took_is_read_from_events(pack: Pack) -> None:
    codes = {"kind": Pack.Kind.PREMIUM, "engine": "studio"}
    assert past_pace("studio", Pack.Kind.PREMIUM).preparing > 60  # What was measured elsewhere.
    for seconds in (40.0, 50.0, 90.0):
        record("pack.prepared", shoot_id=pack.shoot_id, codes=codes, numbers={"seconds": seconds})
    record("pack.rendered", shoot_id=pack.shoot_id, codes=codes, numbers={"pictures": 20, "seconds": 60.0})
    record("pack.rendered", shoot_id=pack.shoot_id, codes=codes, numbers={"pictures": 30, "seconds": 90.0})

    cache.clear()
    assert past_pace("studio", Pack.Kind.PREMIUM) == Pace(50.0, 3.0)


def test_the_first_pack_here_is_judged_by_how_fast_previews_were(pack: Pack) -> None:
    cache.clear()
    usual = past_pace("studio", Pack.Kind.PREMIUM)
    codes = {"kind": Pack.Kind.PREVIEW, "engine": "studio"}
    seconds = 4 * 3 * past_pace("studio", Pack.Kind.PREVIEW).picture
    record("pack.rendered", shoot_id=pack.shoot_id, codes=codes, numbers={"pictures": 4, "seconds": seconds})
    cache.clear()

    slow = past_pace("studio", Pack.Kind.PREMIUM)

    assert slow.picture == pytest.approx(3 * usual.picture)
    assert slow.preparing == pytest.approx(3 * usual.preparing)


def test_a_pack_that_waits_says_how_many_come_first(pack: Pack, person: User) -> None:
    second = make_premium(person)
    advance(pack, Pack.State.RENDERING)

    found = estimate(second, list(second.headshots.all()))

    assert found is not None
    assert found.ahead == 1
    alone = estimate(pack, list(pack.headshots.all()))
    assert alone is not None
    assert found.seconds_left > alone.seconds_left


def test_a_pack_that_rests_after_a_fault_promises_no_time_and_others_pass_it(
    pack: Pack, person: User, client: Client
) -> None:
    second = make_premium(person)
    record_failure(pack, Pack.Reason.STORAGE_FAILED)
    client.force_login(person)

    page = client.get(pack.shoot.get_absolute_url()).content.decode()

    assert "Something went wrong on our side" in page
    assert "Your headshots are on hold" in page
    assert "minutes left" not in page
    assert "seconds left" not in page
    found = estimate(second, list(second.headshots.all()))
    assert found is not None
    assert found.ahead == 0


@pytest.mark.parametrize("paused", [True, False])
def test_a_pack_that_nobody_works_on_has_no_time(pack: Pack, paused: bool) -> None:
    if paused:
        pauses.pause(Pause.Part.RENDERING)
    else:
        advance(pack, Pack.State.CANCELED)

    assert estimate(pack, list(pack.headshots.all())) is None
