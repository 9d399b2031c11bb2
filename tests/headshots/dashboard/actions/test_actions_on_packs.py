"""What comes of what staff does to packs, their photos and the work on them."""

from uuid import uuid4

import pytest

from headshots.dashboard.models import AuditLogEntry
from headshots.dashboard.stats import live_stats
from headshots.payments.accounting.credits import return_credit
from headshots.payments.models import Credit
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Event, Pack, Pause, Shoot, Style
from headshots.shoots.packs import recovery, rendering
from headshots.vault.services import key_exists
from tests.headshots.dashboard.actions.targets import failed_pack
from tests.headshots.shoots.delivery.test_shoots import upload
from tests.helpers import photos
from tests.helpers.factories import deliver, make_checked_shoot, make_preview, make_shoot, make_user
from tests.helpers.staff import address, client_of, do, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "stripes_test_mode")]


def test_a_failed_pack_is_tried_again_and_keeps_what_was_done() -> None:
    pack = failed_pack()

    do(client_of("support"), "retry-pack", pack)

    pack.refresh_from_db()
    assert pack.state == Pack.State.QUEUED
    assert sorted(pack.headshots.values_list("state", "attempts")) == [("done", 0)] * 3 + [("pending", 0)]
    assert Event.objects.filter(name="pack.queued", actor="staff", pack_id=pack.pk).exists()
    assert AuditLogEntry.objects.get().shoot_id == pack.shoot_id


def test_a_pack_whose_photos_are_gone_is_not_tried_again() -> None:
    pack, owner = failed_pack(), client_of("owner")
    do(owner, "purge-photos", pack.shoot)

    response = owner.post(
        address("retry-pack", pack), {"reason": "again", "seen_state": "failed", "submission": str(uuid4())}
    )

    assert response.status_code == 409
    assert "The photos of this shoot have been deleted" in response.content.decode()
    assert AuditLogEntry.objects.count() == 1


def test_what_ended_meanwhile_cannot_be_canceled() -> None:
    pack, owner = make_preview(), client_of("owner")
    deliver(pack)

    page = owner.get(address("cancel-pack", pack)).content.decode()
    forced = owner.post(
        address("cancel-pack", pack), {"reason": "x", "seen_state": "delivered", "submission": str(uuid4())}
    )

    assert "This pack is delivered" in page
    assert forced.status_code == 409
    assert not AuditLogEntry.objects.exists()


def test_purging_destroys_the_key_at_once(django_capture_on_commit_callbacks) -> None:
    shoot = make_shoot()

    with django_capture_on_commit_callbacks(execute=True):
        do(client_of("support"), "purge-photos", shoot)

    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGING
    assert not key_exists(ring="source", key_id=shoot.pk)
    assert Event.objects.get(name="shoot.purging").actor == "staff"


def test_paused_uploads_are_told_kindly_and_keep_nothing() -> None:
    browser = signed_in(make_user())
    do(client_of("owner"), "pause", Pause.Part.UPLOADS)

    page = browser.get("/shoots/new/")
    sent = upload(browser, photos.astronaut_path().read_bytes())
    dashboard = client_of("owner").get("/admin/").content.decode()
    told = (owner := client_of("owner")).get(do(owner, "resume", Pause.Part.UPLOADS).url).content.decode()

    assert page.status_code == 200
    assert "Uploads are paused for maintenance" in page.content.decode()
    assert "<form class" not in page.content.decode()
    assert sent.status_code == 503
    assert not Shoot.objects.exists()
    assert "paused since" in dashboard
    assert "Uploads have resumed." in told
    assert "Uploads are paused" not in browser.get("/shoots/new/").content.decode()


def test_paused_rendering_leaves_packs_in_the_queue_and_wakes_them_at_once_after(
    valkey, django_capture_on_commit_callbacks
) -> None:
    person = make_user()
    pack = make_preview(person)
    do(client_of("owner"), "pause", Pause.Part.RENDERING)

    rendering.render_pack(pack=pack)
    waiting, state = live_stats.queue_stats().packs, Pack.objects.get().state
    page = signed_in(person).get(f"/shoots/{pack.shoot_id}/").content.decode()
    valkey.flushall()
    with django_capture_on_commit_callbacks(execute=True):
        do(client_of("owner"), "resume", Pause.Part.RENDERING)
    asked = valkey.llen("default")
    recovery.enqueue_waiting()
    woken = valkey.llen("render")
    rendering.render_pack(pack=pack)

    assert (waiting, state, asked, woken) == (1, Pack.State.QUEUED, 1, 1)
    assert "Headshots are paused for maintenance" in page
    assert "Your headshots are on hold." in page
    pack.refresh_from_db()
    assert pack.state == Pack.State.DELIVERED


def test_a_granted_pack_is_queued_in_the_chosen_looks() -> None:
    shoot = make_checked_shoot()

    do(client_of("support"), "grant-pack", shoot)

    pack = Pack.objects.get(kind="premium")
    assert pack.state == Pack.State.QUEUED
    assert pack.headshots.order_by().values("style").distinct().count() == 3
    assert Credit.objects.get().pack == pack
    assert Event.objects.get(name="credit.used").actor == Event.Actor.STAFF
    assert "is already being made" in client_of("support").get(address("grant-pack", shoot)).content.decode()


def test_who_grants_a_pack_in_too_few_looks_reads_how_many_it_needs() -> None:
    shoot = make_checked_shoot()

    question = client_of("support").get(address("grant-pack", shoot)).content.decode()
    answer = do(client_of("support"), "grant-pack", shoot, styles=str(Style.objects.first().pk))

    needed = "50 different headshots need at least 3 looks with different backdrops."
    assert needed in question
    assert f"Please choose more looks. {needed}" in answer.content.decode()
    assert not Credit.objects.exists()


def test_a_failed_premium_pack_needs_an_open_credit_to_be_tried_again() -> None:
    shoot = make_checked_shoot()
    do(client_of("owner"), "grant-pack", shoot)
    pack = Pack.objects.get(kind="premium")
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.FAILED, reason=Pack.Reason.ENGINE_FAILED)
    return_credit(pack=pack)
    Credit.objects.update(state="refunded")

    without = client_of("support").get(address("retry-pack", pack)).content.decode()
    do(client_of("support"), "grant-credits", shoot.owner, count="1")
    answer = do(client_of("support"), "retry-pack", pack)

    pack.refresh_from_db()
    assert "no open credit" in without
    assert answer.status_code == 302
    assert pack.state == Pack.State.QUEUED
    assert Credit.objects.get(state="used").pack == pack
