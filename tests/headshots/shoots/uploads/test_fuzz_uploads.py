"""Mutated photos over HTTP: each is kept whole or not at all, and no answer is an error of ours."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from headshots.shoots.models import Consent, Photo, Shoot
from headshots.vault.models import Blob
from tests.helpers.factories import make_user
from tests.helpers.fuzz_decoder import mutations
from tests.helpers.uploads import jpeg_of_scans

pytestmark = pytest.mark.django_db


def test_a_photo_of_endless_scans_is_refused_in_plain_words(client: Client) -> None:
    client.force_login(make_user())
    photo = SimpleUploadedFile("me.jpg", jpeg_of_scans(200, 101), "image/jpeg")

    answer = client.post("/shoots/new/", {"photos": photo, "consent": "on", "is_me": "on"})

    assert "t open this file in time" in answer.content.decode()
    assert not Shoot.objects.exists()


@pytest.mark.parametrize("count", [pytest.param(20, id="twenty"), pytest.param(500, id="five hundred")])
def test_mutated_uploads_are_kept_whole_or_not_at_all(client: Client, settings, count: int) -> None:
    # Neither the free packs of one account nor the attempts of one address are what is tested here.
    settings.HEADSHOTS_PREVIEWS_PER_DAY = count + 1
    person = make_user()
    client.force_login(person)
    for number, (name, kind, data) in enumerate(mutations(count, seed=11)):
        before = (Shoot.objects.count(), Blob.objects.count())

        answer = client.post(
            "/shoots/new/",
            {"photos": SimpleUploadedFile("me.jpg", data, "image/jpeg"), "consent": "on", "is_me": "on"},
        )

        after = (Shoot.objects.count(), Blob.objects.count())
        what = f"file {number} ({name}, {kind}): {answer.status_code}"
        # 302 is a kept photo. Anything else is a page that says what is wrong, or a wait (429, 503).
        assert answer.status_code in {200, 302, 422, 429, 503}, what
        kept = answer.status_code == 302
        assert (after[0] - before[0], after[1] > before[1]) == (int(kept), kept), what
    assert Photo.objects.count() == Shoot.objects.count() == Consent.objects.count()
