"""The changing part of a shoot's page, in every state it can be in."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from headshots import engine
from headshots.shoots.delivery import views
from headshots.shoots.models import FaceCrop, Pack, Photo, Shoot


def render(
    shoot: Shoot, photos: list[dict[str, object]] | None = None, packs: list[dict[str, object]] | None = None
) -> str:
    asking = [photo for photo in photos or [] if photo["state"] == "choose_face"]
    context = {"shoot": shoot, "photos": photos or [], "asking": asking, "packs": packs or [], "live": False}
    context["Reason"] = Pack.Reason
    return render_to_string("shoots/_progress.html", context)


def make_shoot(state: str = Shoot.State.OPEN, **facts: object) -> Shoot:
    return Shoot(state=state, delete_after=timezone.now() + timedelta(hours=23), **facts)


def make_photo(state: str, *reasons: str, faces: int = 1) -> dict[str, object]:
    crops = [FaceCrop(index=index) for index in range(faces)]
    return {"id": uuid4(), "state": state, "reasons": reasons, "face_count": faces, "face_crops": {"all": crops}}


def make_pack(state: str, done: int = 0, reason: str = "") -> dict[str, object]:
    rows = [
        {
            "id": uuid4(),
            "state": "done" if index < done else "pending",
            "style_title": "Corporate",
            "url": f"/{index}.jpg",
            "shown_url": f"/{index}.jpg",
        }
        for index in range(4)
    ]
    until = timezone.now() + timedelta(days=30)
    words = {"id": uuid4(), "kind": "preview", "state": state, "reason": reason, "expires_at": until}
    return {**words, "done": done, "total": 4, "headshots": rows}


@pytest.mark.parametrize("photo_state", Photo.State.values)
@pytest.mark.parametrize("pack_state", [None, *Pack.State.values])
@pytest.mark.parametrize("shoot_state", Shoot.State.values)
def test_every_state_says_where_the_shoot_stands(photo_state: str, pack_state: str | None, shoot_state: str) -> None:
    packs = [make_pack(pack_state, done=2)] if pack_state else []

    page = render(make_shoot(shoot_state), [make_photo(photo_state, "too_dark", faces=2)], packs)

    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "the live script tells parts apart by their ids"
    sentence = re.search(r'id="sentence">(.*?)</(?:p|div)>', page, re.S)
    settled_without_pack = pack_state is None and photo_state in {"uploaded", "accepted", "warned"}
    assert sentence
    assert sentence[1].strip() or (settled_without_pack and shoot_state == "open"), "only a live page may wait wordless"


def test_a_refused_photo_gets_its_reasons_and_a_way_on() -> None:
    page = render(make_shoot(), [make_photo("refused", "too_dark", "turned_away")])

    assert "Your face is too dark" in page
    assert "You’re looking away" in page
    assert "Try another photo" in page


def test_several_faces_become_a_question_with_one_picture_each() -> None:
    page = render(make_shoot(), [make_photo("choose_face", "several_faces", faces=3)])

    assert "Which one is you?" in page
    assert len(re.findall(r'<input type="radio" name="face-[0-9a-f-]{36}" value="[012]" required>', page)) == 3
    assert len(re.findall(r"/faces/[012]\.jpg", page)) == 3
    assert 'value="none"' not in page
    assert "Confirm and continue" in page


def test_a_proposal_is_ticked_and_several_photos_are_one_question() -> None:
    mine = make_photo("choose_face", "several_faces", faces=2) | {"proposed_face": 1}
    not_mine = make_photo("choose_face", "several_faces", faces=3) | {"proposed_face": -1}

    page = render(make_shoot(), [mine, not_mine])

    assert page.count("<form") == 1
    assert f'name="face-{mine["id"]}" value="1" required checked' in page
    assert f'name="face-{not_mine["id"]}" value="none" required checked' in page
    assert len(re.findall(r" checked", page)) == 2
    assert "Confirm and continue" in page


@pytest.mark.parametrize("tip", engine.TIPS)
def test_a_score_comes_with_words_for_every_tip(tip: str) -> None:
    page = render(make_shoot(), [make_photo("accepted") | {"score": 83, "tips": [tip]}])

    assert re.search(r"<strong>83</strong>\s+out of 100", page)
    words = re.search(r'<div class="tips">.*?<li>(.*?)</li>', page, re.S)
    assert words
    assert words[1].strip()


@pytest.mark.parametrize("tip", ["send_original", "sharper_for_4k"])
def test_a_soft_file_is_said_to_stay_soft_where_the_photo_itself_is_enlarged(tip: str) -> None:
    page = render(make_shoot(), [make_photo("accepted") | {"score": 83, "tips": [tip]}])

    assert "This file was enlarged before" in page
    assert "At 4K it stays soft" in page


@pytest.mark.parametrize("reason", engine.Reason)
def test_every_reason_has_words_of_its_own(reason: str) -> None:
    page = render(make_shoot(), [make_photo("refused", reason)])

    assert "This photo isn’t suitable" not in page


def test_headshots_appear_one_by_one_and_the_zip_when_all_are_there() -> None:
    half = render(make_shoot(), packs=[make_pack("rendering", done=2)])
    all_of_them = render(make_shoot(), packs=[make_pack("delivered", done=4)])

    assert "2 of 4 headshots are ready" in half
    assert half.count("<img") == 2
    assert "download.zip" not in half
    assert all_of_them.count("<img") == 4
    assert "download.zip" in all_of_them


def test_a_pack_that_did_not_look_like_the_person_says_so() -> None:
    page = render(make_shoot(), packs=[make_pack("failed", reason="not_alike")])

    assert "didn’t look enough like you" in page
    assert "in progress" not in page


def test_once_everything_is_deleted_no_picture_is_asked_for() -> None:
    for state in (Shoot.State.PURGING, Shoot.State.PURGED):
        page = render(make_shoot(state, purge_everything=True), packs=[make_pack("delivered", done=4)])

        assert "<img" not in page
        assert "/delete/" not in page


def test_a_page_whose_photos_are_gone_keeps_its_headshots() -> None:
    page = render(make_shoot(Shoot.State.PURGED, purged_at=timezone.now()), packs=[make_pack("delivered", done=4)])

    assert page.count("<img") == 4
    assert "Your photos have been deleted" in page
    assert "Delete headshots too" in page


@pytest.mark.parametrize(
    ("shoot", "photos", "packs", "is_changing"),
    [
        ("open", ["uploaded"], [], True),
        ("open", ["choose_face"], [], False),
        ("open", ["choose_face", "accepted"], [], True),  # the proposal is on its way
        ("open", ["accepted"], [], True),  # the preview is on its way
        ("open", ["accepted", "refused"], ["delivered"], False),
        ("open", ["refused"], [], False),
        ("open", ["accepted"], ["delivered", "rendering"], True),
        ("open", ["accepted"], ["awaiting_payment"], True),
        ("purging", ["accepted"], ["delivered"], True),
        ("purged", [], ["delivered"], False),
        ("purged", [], ["rendering"], False),
    ],
)
def test_a_page_is_live_while_something_on_it_will_change(
    shoot: str, photos: list[str], packs: list[str], is_changing: bool
) -> None:
    rows = [Photo(state=state) for state in photos]

    found = views._is_changing(Shoot(state=shoot), rows, [Pack(state=state, kind="preview") for state in packs])

    assert found == is_changing
