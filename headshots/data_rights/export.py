"""Everything about a person in one ZIP: readable tables, and the pictures while they exist.

Read and decrypted while it is sent; nothing of it is written to a disk.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from allauth.account.models import EmailAddress
from asgiref.sync import sync_to_async
from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from headshots import engine
from headshots.accounts.models import Session, User
from headshots.payments.models import Credit, Payment
from headshots.payments.prices import format_money
from headshots.retention.models import Receipt
from headshots.shoots.consent import in_version
from headshots.shoots.delivery.pictures import VERSIONS, file_name
from headshots.shoots.delivery.streams import in_thread
from headshots.shoots.models import Consent, Event, Headshot, Pack, Photo, Shoot
from headshots.shoots.self_description import AGES, HAIR, KINDS, NOTHING_SAID, OUTFITS, read_person
from headshots.vault import services as vault
from headshots.vault.errors import BlobCorrupt, BlobMissing, KeyGone
from headshots.vault.models import Blob
from headshots.web.zip_stream import ZipWriter, member_of

# Each may be gigabytes, read and decrypted for one person.
EXPORTS_PER_HOUR = 10
_READ_ME = """Everything that Headshots has about you.

account.json      your account, your shoots with what was found in each photo, your payments and your receipts, and
                  what we could not read any more, if anything. Any text editor opens it.
shoots/           your photos while we still have them, and your finished headshots while we have those. Beside a photo
                  lies what was found of the faces in it: a box, 468 points and some measurements for each.
texts/            what you agreed to, in the versions of that day.

Face embeddings are not here because they are not anywhere: they exist in memory while your pictures are made.
What was deleted before you asked is not here either; account.json has the receipts.
"""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """An encrypted picture, and what it is called in the ZIP."""

    name: str
    blob: Blob


@dataclass
class Gathered:
    """`account` becomes account.json; `texts` are files by their names; `pictures` are read when their turn comes.

    `spoiled`: what is there and cannot be read, which must not keep the rest from its person."""

    account: dict[str, object] = field(repr=False)
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    pictures: list[Picture] = field(default_factory=list)
    spoiled: list[str] = field(default_factory=list)

    def add_spoiled(self, name: str, error: BlobCorrupt) -> None:
        log.error("left out of an export: %s", error)
        self.spoiled.append(name)


@require_GET
async def export(request: HttpRequest) -> HttpResponseBase:
    """The ZIP, for whoever is signed in. A store that does not answer breaks it off: half of it would pass for all."""
    gathered = await sync_to_async(_gather)(request)
    if not isinstance(gathered, Gathered):
        return gathered
    response = StreamingHttpResponse(in_thread(_chunks(gathered)), content_type="application/zip")
    response["Content-Disposition"] = 'attachment; filename="my-headshots-data.zip"'
    response["Cache-Control"] = "no-store, private"
    response["X-Accel-Buffering"] = "no"
    return response


def _gather(request: HttpRequest) -> Gathered | HttpResponse:
    if not isinstance(request.user, User):
        return redirect_to_login(request.get_full_path())
    made = f"exports:{request.user.pk}"
    cache.add(made, 0, timeout=3600)
    if cache.incr(made) > EXPORTS_PER_HOUR:
        return render(request, "429.html", status=429)
    return gather(request.user)


def _chunks(gathered: Gathered) -> Iterator[bytes]:
    archive = ZipWriter()
    for name, text in {"README.txt": _READ_ME, **gathered.texts}.items():
        yield from archive.add(member_of(name, text.encode()))
    missing = []
    for picture in gathered.pictures:
        try:
            # Whole and verified before the ZIP says that there is such a file.
            data = vault.read_blob(picture.blob)
        except (KeyGone, BlobMissing):
            missing.append(picture.name)
        except BlobCorrupt as error:
            gathered.add_spoiled(picture.name, error)
        else:
            yield from archive.add(member_of(picture.name, data))
    lists = {"deleted_while_this_was_written": missing, "could_not_be_read": gathered.spoiled}
    account = {**gathered.account, **lists}
    text = json.dumps(account, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
    yield from archive.add(member_of("account.json", text.encode()))
    yield archive.end()


def gather(owner: User) -> Gathered:
    """All of it. What is deleted at this moment is left out."""
    gathered = Gathered(
        account={
            "written_at": timezone.now(),
            "account": _account(owner),
            "sign_ins": [{"ends_at": row.expire_date} for row in Session.objects.filter(account_id=owner.pk)],
        }
    )
    shoots = Shoot.objects.filter(owner=owner).select_related("consent", "person_blob").order_by("created_at")
    gathered.account["shoots"] = [_shoot(shoot, gathered) for shoot in shoots]
    gathered.account["payments"] = [_payment(row) for row in Payment.objects.filter(owner=owner)]
    gathered.account["credits"] = [_credit(row) for row in Credit.objects.filter(owner=owner)]
    gathered.account["receipts"] = [_receipt(row) for row in owner.receipts.prefetch_related("destructions")]
    return gathered


def _account(owner: User) -> dict[str, object]:
    addresses = EmailAddress.objects.filter(user=owner)
    return {
        "address": owner.email,
        "addresses": [{"address": row.email, "confirmed": row.verified, "in_use": row.primary} for row in addresses],
        "password": "stored scrambled; nobody can read it" if owner.has_usable_password() else "none",
        "joined_at": owner.date_joined,
        "last_signed_in_at": owner.last_login,
    }


def _shoot(shoot: Shoot, gathered: Gathered) -> dict[str, object]:
    folder = f"shoots/{shoot.created_at:%Y-%m-%d}-{str(shoot.pk)[:8]}"
    return {
        "id": shoot.pk,
        "folder": folder,
        "began_at": shoot.created_at,
        "state": shoot.state,
        "photos_deleted_by": shoot.delete_after,
        "photos_deleted_at": shoot.purged_at,
        "consent": _consent(shoot.consent, gathered),
        "what_you_told_us": _person(shoot, folder, gathered),
        "photos": [_photo(photo, folder, gathered) for photo in shoot.photos.select_related("blob", "faces_blob")],
        "packs": [_pack(pack, number, folder, gathered) for number, pack in enumerate(shoot.packs.all(), 1)],
        "history": [_event(event) for event in Event.objects.filter(shoot_id=shoot.pk)],
    }


def _consent(given: Consent, gathered: Gathered) -> dict[str, object]:
    versions = {"consent": given.consent_version, "is_me": given.is_me_version}
    for name, version in versions.items():
        if text := in_version(name, version):
            gathered.texts[f"texts/{name}.{version}.txt"] = text.text + "\n"
    return {**versions, "given_at": given.given_at, "withdrawn_at": given.withdrawn_at}


def _person(shoot: Shoot, folder: str, gathered: Gathered) -> dict[str, object] | None:
    try:
        said = read_person(shoot=shoot)
    except (KeyGone, BlobMissing):
        return None
    except BlobCorrupt as error:
        gathered.add_spoiled(f"{folder}: what you told us", error)
        return None
    if said == NOTHING_SAID:
        return None
    # In the words of the form that was filled in.
    return {
        "kind": KINDS[said.kind],
        "age": AGES[said.age] if said.age else None,
        "hair": HAIR[said.hair] if said.hair else None,
        "outfit": OUTFITS[said.outfit] if said.outfit else None,
        "glasses": said.glasses,
        "headscarf": said.headscarf,
    }


def _photo(photo: Photo, folder: str, gathered: Gathered) -> dict[str, object]:
    name = f"{folder}/photo-{photo.position + 1}"
    gathered.pictures.append(Picture(f"{name}.jpg", photo.blob))
    faces = None
    try:
        if photo.faces_blob:
            faces = engine.describe_faces(vault.read_blob(photo.faces_blob))
            gathered.texts[f"{name}-faces.json"] = json.dumps(faces)
    except (KeyGone, BlobMissing):
        pass
    except BlobCorrupt as error:
        gathered.add_spoiled(f"{name}-faces.json", error)
    return {
        "file": f"{name}.jpg",
        "faces_found": f"{name}-faces.json" if faces is not None else None,
        "verdict": photo.state,
        "reasons": photo.reasons,
        "face_we_proposed": photo.proposed_face,
        "your_face": photo.chosen_face,
        "you_picked_it": photo.picked,
        "score": photo.score,
        "tips": photo.tips,
    }


def _pack(pack: Pack, number: int, folder: str, gathered: Gathered) -> dict[str, object]:
    return {
        "id": pack.pk,
        "kind": pack.kind,
        "state": pack.state,
        "reason": pack.reason,
        "engine": pack.engine,
        "ordered_at": pack.created_at,
        "delivered_at": pack.delivered_at,
        "deleted_by": pack.expires_at,
        "headshots": [
            _headshot(row, f"{folder}/pack-{number}", gathered)
            for row in pack.headshots.select_related("style", "version", *VERSIONS.values())
        ],
    }


def _headshot(row: Headshot, folder: str, gathered: Gathered) -> dict[str, object]:
    blobs = {version: getattr(row, field) for version, field in VERSIONS.items()}
    files = {version: f"{folder}/{file_name(row, version)}" for version, blob in blobs.items() if blob is not None}
    gathered.pictures += [Picture(name, blobs[version]) for version, name in files.items()]
    return {
        "files": files,
        "look": row.look.title,
        "state": row.state,
        "likeness": row.likeness,
        "reasons": row.reasons,
        "done_at": row.done_at,
    }


def _event(event: Event) -> dict[str, object]:
    return {"at": event.at, "what": event.name, "by": event.actor, "codes": event.codes, "numbers": event.numbers}


def _payment(payment: Payment) -> dict[str, object]:
    return {
        "id": payment.pk,
        "for_pack": payment.pack_id,
        "state": payment.state,
        "paid": format_money(payment.amount_paid, payment.currency),
        "of_it_tax": format_money(payment.amount_tax, payment.currency),
        "given_back": format_money(payment.amount_refunded, payment.currency),
        "began_at": payment.created_at,
        "paid_at": payment.paid_at,
        "stripes_numbers": [number for number in (payment.session_id, payment.payment_intent) if number],
    }


def _credit(credit: Credit) -> dict[str, object]:
    return {
        "id": credit.pk,
        "from": credit.source,
        "state": credit.state,
        "payment": credit.payment_id,
        "used_for_pack": credit.pack_id,
        "since": credit.created_at,
    }


def _receipt(receipt: Receipt) -> dict[str, object]:
    return {
        "number": receipt.reference,
        "what": receipt.title,
        "shoot": receipt.shoot_id,
        "at": receipt.begun_at,
        "asked_for_by": receipt.asked_by,
        "backups_hold_noise_until": receipt.backups_until,
        "deleted": [
            {"ring": proof.ring, "key_destroyed_at": proof.key_died_at, "gone_at": proof.done_at, **proof.counts}
            for proof in receipt.destructions.all()
        ],
    }
