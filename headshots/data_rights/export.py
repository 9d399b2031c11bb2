"""Export everything about a customer as one ZIP: readable tables, and the pictures while they exist.

The data is read and decrypted while the ZIP is sent. Nothing is written to disk.
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
from headshots.payments.models import Credit, Payment, Withdrawal
from headshots.payments.prices import format_money
from headshots.retention.models import DeletionCertificate
from headshots.shoots.consent import in_version
from headshots.shoots.delivery.pictures import VERSIONS, file_name
from headshots.shoots.delivery.streams import in_thread
from headshots.shoots.models import Consent, Event, Headshot, Pack, Photo, Shoot
from headshots.shoots.self_description import AGES, HAIR, KINDS, NO_SELF_DESCRIPTION, OUTFITS, read_self_description
from headshots.vault import services as vault
from headshots.vault.errors import BlobCorrupt, BlobMissing, KeyGone
from headshots.vault.models import Blob
from headshots.web.zip_stream import ZipWriter, member_of

# Limited because each export can read and decrypt gigabytes.
EXPORTS_PER_HOUR = 10
_READ_ME = """Everything Headshots has about you.

account.json      Your account, your shoots with the results of the photo checks, your payments, your deletion
                  certificates, and a list of files we couldn't read, if any. You can open it in any text editor.
shoots/           Your photos and finished headshots while we have them. Next to each photo is a file with the faces
                  we found in it: a box, 468 points and some measurements per face. Headshots are AI generated or AI
                  modified. Each file says so in its metadata.
texts/            The texts you agreed to, in the version you agreed to.

Face embeddings are not included, because we don't store them. They are in memory only, while we make your pictures.
Data that was deleted before this export is not included either. account.json lists the deletion certificates.
"""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportedPicture:
    """An encrypted picture, and its name in the ZIP."""

    name: str
    blob: Blob


@dataclass
class ExportContents:
    """The contents of an export.

    Attributes:
        account: the contents of account.json.
        texts: the text files, by name in the ZIP.
        pictures: the pictures, which are decrypted while the ZIP is sent.
        corrupt: names of files that could not be read. The export continues without them.
    """

    account: dict[str, object] = field(repr=False)
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    pictures: list[ExportedPicture] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)

    def add_corrupt(self, name: str, error: BlobCorrupt) -> None:
        log.error("file left out of an export: %s", error)
        self.corrupt.append(name)


@require_GET
async def export(request: HttpRequest) -> HttpResponseBase:
    """Send the ZIP to the signed-in customer.

    If the store does not answer, the response is aborted. A shorter ZIP would look complete."""
    contents = await sync_to_async(_contents_or_response)(request)
    if not isinstance(contents, ExportContents):
        return contents
    response = StreamingHttpResponse(in_thread(_chunks(contents)), content_type="application/zip")
    response["Content-Disposition"] = 'attachment; filename="my-headshots-data.zip"'
    response["Cache-Control"] = "no-store, private"
    response["X-Accel-Buffering"] = "no"
    return response


def _contents_or_response(request: HttpRequest) -> ExportContents | HttpResponse:
    if not isinstance(request.user, User):
        return redirect_to_login(request.get_full_path())
    made = f"exports:{request.user.pk}"
    cache.add(made, 0, timeout=3600)
    if cache.incr(made) > EXPORTS_PER_HOUR:
        return render(request, "429.html", status=429)
    return collect_contents(request.user)


def _chunks(contents: ExportContents) -> Iterator[bytes]:
    archive = ZipWriter()
    for name, text in {"README.txt": _READ_ME, **contents.texts}.items():
        yield from archive.add(member_of(name, text.encode()))
    missing = []
    for picture in contents.pictures:
        try:
            # Read and verify the whole picture before its entry in the ZIP begins.
            data = vault.read_blob(picture.blob)
        except (KeyGone, BlobMissing):
            missing.append(picture.name)
        except BlobCorrupt as error:
            contents.add_corrupt(picture.name, error)
        else:
            yield from archive.add(member_of(picture.name, data))
    lists = {"deleted_during_export": missing, "unreadable": contents.corrupt}
    account = {**contents.account, **lists}
    text = json.dumps(account, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
    yield from archive.add(member_of("account.json", text.encode()))
    yield archive.end()


def collect_contents(owner: User) -> ExportContents:
    """Collect everything that is stored about this customer. Pictures are not decrypted yet.

    Data that is being deleted at the same time is left out."""
    contents = ExportContents(
        account={
            "exported_at": timezone.now(),
            "account": _account(owner),
            "sign_ins": [{"ends_at": row.expire_date} for row in Session.objects.filter(account_id=owner.pk)],
        }
    )
    shoots = Shoot.objects.filter(owner=owner).select_related("consent", "self_description_blob").order_by("created_at")
    contents.account["shoots"] = [_shoot(shoot, contents) for shoot in shoots]
    contents.account["payments"] = [_payment(row) for row in Payment.objects.filter(owner=owner)]
    contents.account["credits"] = [_credit(row) for row in Credit.objects.filter(owner=owner)]
    contents.account["deletion_certificates"] = [
        _certificate(row) for row in owner.deletion_certificates.prefetch_related("key_destructions")
    ]
    return contents


def _account(owner: User) -> dict[str, object]:
    addresses = EmailAddress.objects.filter(user=owner)
    return {
        "email": owner.email,
        "emails": [{"email": row.email, "confirmed": row.verified, "primary": row.primary} for row in addresses],
        "password": "stored as a hash, which can't be reversed" if owner.has_usable_password() else "none",
        "joined_at": owner.date_joined,
        "is_confirmed_adult": owner.is_confirmed_adult,
        "last_signed_in_at": owner.last_login,
    }


def _shoot(shoot: Shoot, contents: ExportContents) -> dict[str, object]:
    folder = f"shoots/{shoot.created_at:%Y-%m-%d}-{str(shoot.pk)[:8]}"
    return {
        "id": shoot.pk,
        "folder": folder,
        "started_at": shoot.created_at,
        "state": shoot.state,
        "photos_deleted_by": shoot.delete_after,
        "photos_deleted_at": shoot.purged_at,
        "consent": _consent(shoot.consent, contents),
        "your_answers": _self_description(shoot, folder, contents),
        "photos": [_photo(photo, folder, contents) for photo in shoot.photos.select_related("blob", "faces_blob")],
        "packs": [_pack(pack, number, folder, contents) for number, pack in enumerate(shoot.packs.all(), 1)],
        "history": [_event(event) for event in Event.objects.filter(shoot_id=shoot.pk)],
    }


def _consent(given: Consent, contents: ExportContents) -> dict[str, object]:
    versions = {"consent": given.consent_version, "is_me": given.is_me_version}
    for name, version in versions.items():
        if text := in_version(name, version):
            contents.texts[f"texts/{name}.{version}.txt"] = text.text + "\n"
    return {**versions, "given_at": given.given_at, "withdrawn_at": given.withdrawn_at}


def _self_description(shoot: Shoot, folder: str, contents: ExportContents) -> dict[str, object] | None:
    try:
        said = read_self_description(shoot=shoot)
    except (KeyGone, BlobMissing):
        return None
    except BlobCorrupt as error:
        contents.add_corrupt(f"{folder}: your answers", error)
        return None
    if said == NO_SELF_DESCRIPTION:
        return None
    # Use the words of the form that the customer filled in.
    return {
        "kind": KINDS[said.kind],
        "age": AGES[said.age] if said.age else None,
        "hair": HAIR[said.hair] if said.hair else None,
        "outfit": OUTFITS[said.outfit] if said.outfit else None,
        "beard": said.beard,
        "glasses": said.glasses,
        "headscarf": said.headscarf,
    }


def _photo(photo: Photo, folder: str, contents: ExportContents) -> dict[str, object]:
    name = f"{folder}/photo-{photo.position + 1}"
    contents.pictures.append(ExportedPicture(f"{name}.jpg", photo.blob))
    faces = None
    try:
        if photo.faces_blob:
            faces = engine.describe_faces(vault.read_blob(photo.faces_blob))
            contents.texts[f"{name}-faces.json"] = json.dumps(faces)
    except (KeyGone, BlobMissing):
        pass
    except BlobCorrupt as error:
        contents.add_corrupt(f"{name}-faces.json", error)
    return {
        "file": f"{name}.jpg",
        "faces_found": f"{name}-faces.json" if faces is not None else None,
        "result": photo.state,
        "reasons": photo.reasons,
        "face_proposed_by_us": photo.proposed_face,
        "your_face": photo.chosen_face,
        "picked_by_you": photo.picked,
        "score": photo.score,
        "tips": photo.tips,
    }


def _pack(pack: Pack, number: int, folder: str, contents: ExportContents) -> dict[str, object]:
    return {
        "id": pack.pk,
        "kind": pack.kind,
        "state": pack.state,
        "reason": pack.reason,
        "engine": pack.engine,
        "ordered_at": pack.created_at,
        "delivered_at": pack.delivered_at,
        "missing_headshots": pack.missing,
        "deleted_by": pack.expires_at,
        "headshots": [
            _headshot(row, f"{folder}/pack-{number}", contents)
            for row in pack.headshots.select_related("style", "version", *VERSIONS.values())
        ],
    }


def _headshot(row: Headshot, folder: str, contents: ExportContents) -> dict[str, object]:
    blobs = {version: getattr(row, field) for version, field in VERSIONS.items()}
    files = {version: f"{folder}/{file_name(row, version)}" for version, blob in blobs.items() if blob is not None}
    contents.pictures += [ExportedPicture(name, blobs[version]) for version, name in files.items()]
    return {
        "files": files,
        "look": row.look.title,
        "state": row.state,
        "likeness": row.likeness,
        "is_favorite": row.is_favorite,
        "reasons": row.reasons,
        "done_at": row.done_at,
    }


def _event(event: Event) -> dict[str, object]:
    return {"at": event.at, "event": event.name, "actor": event.actor, "codes": event.codes, "numbers": event.numbers}


def _payment(payment: Payment) -> dict[str, object]:
    withdrawal = Withdrawal.objects.filter(payment=payment).first()
    return {
        "id": payment.pk,
        "for_pack": payment.pack_id,
        "state": payment.state,
        "paid": format_money(payment.amount_paid, payment.currency),
        "tax_included": format_money(payment.amount_tax, payment.currency),
        "refunded": format_money(payment.amount_refunded, payment.currency),
        "started_at": payment.created_at,
        "paid_at": payment.paid_at,
        "withdrawn_at": withdrawal.at if withdrawal else None,
        "withdrawal": withdrawal.outcome if withdrawal else None,
        "stripe_ids": [number for number in (payment.session_id, payment.payment_intent) if number],
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


def _certificate(certificate: DeletionCertificate) -> dict[str, object]:
    return {
        "number": certificate.reference,
        "title": certificate.title,
        "shoot": certificate.shoot_id,
        "started_at": certificate.begun_at,
        "requested_by": certificate.requested_by,
        "encrypted_files_in_backups_until": certificate.backups_until,
        "deleted": [
            {
                "ring": destruction.ring,
                "key_destroyed_at": destruction.destroyed_at,
                "files_deleted_at": destruction.done_at,
                **destruction.counts,
            }
            for destruction in certificate.key_destructions.all()
        ],
    }
