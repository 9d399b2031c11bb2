"""What browsers and proxies may keep: nothing with a face in it, and nothing at all after leaving."""

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.urls import reverse

from headshots.accounts.models import User
from headshots.shoots.models import FaceCrop, Shoot
from headshots.vault import services as vault
from tests.helpers.factories import PASSWORD, cleaned_astronaut, make_delivered

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


@pytest.fixture
def shoot(person: User) -> Shoot:
    """Four headshots, and a photo that asked which face is meant."""
    shoot = make_delivered(person).shoot
    blob = vault.write_blob(ring="source", key_id=shoot.pk, kind="face_crop", data=cleaned_astronaut())
    FaceCrop.objects.create(photo=shoot.photos.get(), index=0, blob=blob)
    return shoot


@pytest.fixture
def browser(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def test_nothing_that_shows_a_face_or_tells_of_one_is_kept_by_anybody(browser: Client, shoot: Shoot) -> None:
    headshot, photo = shoot.packs.get().headshots.first(), shoot.photos.get()
    address = shoot.get_absolute_url()
    private = [
        address,
        f"{address}progress/",
        f"{address}status.json",
        f"{address}headshots/{headshot.pk}.jpg",
        f"{address}headshots/{headshot.pk}.jpg?download",
        f"{address}photos/{photo.pk}/faces/0.jpg",
        "/shoots/",
        "/shoots/new/",
        "/account/",
        f"/retention/shoots/{shoot.pk}/",
    ]

    kept = {path: browser.get(path)["Cache-Control"] for path in private}

    assert {path: value for path, value in kept.items() if "no-store" not in value} == {}
    assert all(browser.get(path).status_code == 200 for path in private)


@pytest.mark.django_db(transaction=True)
def test_no_zip_is_kept_by_anybody(person: User, shoot: Shoot) -> None:
    async def headers(path: str) -> tuple[int, str]:
        client = AsyncClient()
        await client.aforce_login(person)
        response = await client.get(path)
        return response.status_code, response["Cache-Control"]

    for path in (reverse("shoots:zip", args=[shoot.pk, shoot.packs.get().pk]), "/account/export.zip"):
        assert async_to_sync(headers)(path) == (200, "no-store, private")


@pytest.mark.parametrize(
    ("path", "form", "forgets"),
    [
        ("/accounts/logout/", {}, '"cache", "storage"'),
        ("/shoots/{shoot}/delete/", {}, '"cache"'),
        ("/account/consent/{shoot}/withdraw/", {}, '"cache"'),
        ("/account/consent/withdraw/", {}, '"cache"'),
        (
            "/account/delete/",
            {"password": PASSWORD, "certificate": "6c1f5f0e-7a0f-4d5e-9f39-0d2f3f3b1c11"},
            '"cache", "cookies", "storage"',
        ),
    ],
)
def test_leaving_and_deleting_have_the_browser_forget(
    browser: Client, shoot: Shoot, path: str, form: dict[str, str], forgets: str
) -> None:
    response = browser.post(path.format(shoot=shoot.pk), form)

    assert response.status_code == 302
    assert response["Clear-Site-Data"] == forgets


def test_asking_first_makes_the_browser_forget_nothing(browser: Client, shoot: Shoot) -> None:
    for path in ("/accounts/logout/", f"/shoots/{shoot.pk}/delete/", "/account/consent/withdraw/", "/account/delete/"):
        assert "Clear-Site-Data" not in browser.get(path)


def test_pages_are_compressed_and_pictures_are_not(browser: Client, shoot: Shoot) -> None:
    address = shoot.get_absolute_url()
    headshot = shoot.packs.get().headshots.first()

    encodings = {
        path: browser.get(path, headers={"Accept-Encoding": "gzip"}).get("Content-Encoding")
        for path in (address, f"{address}status.json", f"{address}headshots/{headshot.pk}.jpg")
    }

    assert list(encodings.values()) == ["gzip", "gzip", None]
    assert "Content-Encoding" not in browser.get(address)
