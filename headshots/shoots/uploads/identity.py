"""Identify the customer among the people in a shoot's photos: propose from all photos, let the customer decide.

Embeddings of faces, including those of other people, exist only during one call of `engine.group_faces`. In a photo in
which the customer has picked their face, only that face is embedded.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db import transaction

from headshots import engine
from headshots.celery import send_on_commit
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Event, FaceCrop, Photo, Shoot
from headshots.vault import services as vault

# Values in place of a face's index. NOT_IN_IT: the customer is not in this photo. UNDECIDED: comparing the photos gave
# no proposal.
NOT_IN_IT, UNDECIDED = -1, -2


def identify_person(*, shoot: Shoot, photos: Sequence[Photo]) -> bool:
    """Identify the customer in all photos, and refuse photos of other people.

    photos: all photos of the shoot, each with a verdict.
    Returns True if the customer is identified. Otherwise photos ask the customer, with a proposal if there is one.
    Raises KeyGone, BlobMissing, BlobCorrupt, VaultUnavailable."""
    shown = [photo for photo in photos if photo.state != Photo.State.REFUSED]
    asking = [photo for photo in shown if photo.state == Photo.State.CHOOSE_FACE]
    if len(shown) < 2:
        # A single photo has nothing to be compared with.
        return not asking
    if asking and shoot.ask_first:
        return False
    people = engine.group_faces([_load_for_comparison(photo) for photo in shown])
    person = _select_person(people, shown)
    if asking:
        _propose(shown, person)
        return False
    if person is None:
        indexes = set[int]().union(*_most_frequent(people))
        _ask_all([shown[index] for index in sorted(indexes)])
        return False
    _refuse_strangers([photo for index, photo in enumerate(shown) if index not in person])
    return True


def are_being_compared(*, shoot: Shoot, photos: Sequence[Photo]) -> bool:
    """Return True while verdicts or proposals for photos are still being computed."""
    if any(photo.state == Photo.State.UPLOADED for photo in photos):
        return True
    shown = [photo for photo in photos if photo.state != Photo.State.REFUSED]
    waiting = any(photo.state == Photo.State.CHOOSE_FACE and photo.proposed_face is None for photo in shown)
    return waiting and len(shown) > 1 and not shoot.ask_first


def choose_faces(*, shoot: Shoot, answers: Mapping[UUID, int]) -> bool:
    """Judge each photo by the face that the customer picked in it. NOT_IN_IT refuses the photo.

    answers: index of the face, by photo.
    Returns False and changes nothing if a photo has no such face, or if no photo asks anymore.
    Raises KeyGone, BlobMissing, BlobCorrupt, VaultUnavailable."""
    photos = {photo.pk: photo for photo in shoot.photos.filter(pk__in=answers).select_related("faces_blob")}
    faces = [(photos.get(photo_id), index) for photo_id, index in answers.items()]
    if any(photo is None or not NOT_IN_IT <= index < photo.face_count for photo, index in faces):
        return False
    # Outside the transaction, because reading from a bucket can take seconds.
    judged = [(photo, index, _judge(photo, index)) for photo, index in faces if photo is not None]
    with transaction.atomic():
        moved = [_store_answer(photo, index, judgment) for photo, index, judgment in judged]
        if any(moved):
            # Sent to a worker, because comparing photos takes a model, and this is the web process.
            send_on_commit("shoots.resolve_identity", str(shoot.pk))
    return any(moved)


def refuse(photo: Photo, reason: str, *, actor: str = Event.Actor.SYSTEM) -> bool:
    """Refuse a photo that is usable or asks the customer. Returns True if this call refused the photo."""
    open_states = [*Photo.USABLE, Photo.State.CHOOSE_FACE]
    moved = Photo.objects.filter(pk=photo.pk, state__in=open_states, shoot__state=Shoot.State.OPEN).update(
        state=Photo.State.REFUSED, reasons=[reason]
    )
    if moved:
        record("photo.refused", shoot_id=photo.shoot_id, actor=actor, codes={"reasons": [reason]})
    return bool(moved)


def _judge(photo: Photo, index: int) -> engine.JudgedFace | None:
    """Judge the photo by the face that the customer picked.

    Returns None if the answer is NOT_IN_IT, or if the photo does not ask anymore."""
    if index == NOT_IN_IT or photo.state != Photo.State.CHOOSE_FACE or photo.faces_blob is None:
        return None
    return engine.judge(vault.read_blob(photo.faces_blob), index)


def _store_answer(photo: Photo, index: int, judged: engine.JudgedFace | None) -> bool:
    """Store the answer for one photo. Returns False if the photo does not ask anymore."""
    if photo.state != Photo.State.CHOOSE_FACE:
        return False
    if index == NOT_IN_IT:
        return refuse(photo, engine.Reason.NOT_SAME_PERSON.value, actor=Event.Actor.PERSON)
    if judged is None:
        return False
    asks = Photo.objects.filter(pk=photo.pk, state=Photo.State.CHOOSE_FACE, shoot__state=Shoot.State.OPEN)
    moved = asks.update(
        state=judged.status,
        reasons=judged.reasons,
        chosen_face=index,
        picked=True,
        score=judged.score,
        tips=judged.tips,
    )
    if moved:
        codes = {"reasons": judged.reasons}
        record(f"photo.{judged.status}", shoot_id=photo.shoot_id, actor=Event.Actor.PERSON, codes=codes)
    return bool(moved)


def _load_for_comparison(photo: Photo) -> engine.SeenPhoto:
    assert photo.faces_blob is not None
    faces = vault.read_blob(photo.faces_blob)
    candidates = engine.relevant_faces(faces) if photo.chosen_face is None else [photo.chosen_face]
    return engine.SeenPhoto(photo=vault.read_blob(photo.blob), faces=faces, candidates=candidates)


def _select_person(people: Sequence[Mapping[int, int]], photos: Sequence[Photo]) -> Mapping[int, int] | None:
    """Return the person who is the customer, as {index of the photo: index of the face}.

    If the customer picked faces, this is the person picked in most photos. Otherwise it is the person in most photos.
    Returns None if several people are in equally many photos."""

    def picked(person: Mapping[int, int]) -> int:
        return sum(photos[index].picked for index in person)

    if any(photo.picked for photo in photos):
        return max(people, key=lambda person: (picked(person), len(person)))
    leading = _most_frequent(people)
    return leading[0] if len(leading) == 1 else None


def _most_frequent(people: Sequence[Mapping[int, int]]) -> list[Mapping[int, int]]:
    most = max((len(person) for person in people), default=0)
    return [person for person in people if len(person) == most]


def _propose(photos: Sequence[Photo], person: Mapping[int, int] | None) -> None:
    for index, photo in enumerate(photos):
        if photo.state == Photo.State.CHOOSE_FACE:
            proposed = UNDECIDED if person is None else person.get(index, NOT_IN_IT)
            Photo.objects.filter(pk=photo.pk, state=Photo.State.CHOOSE_FACE).update(proposed_face=proposed)


def _ask_all(photos: Sequence[Photo]) -> None:
    """Ask the customer in every photo, because several people are in equally many photos."""
    reasons = [engine.Reason.SEVERAL_PEOPLE.value]
    for photo in photos:
        assert photo.faces_blob is not None
        faces = vault.read_blob(photo.faces_blob)
        crops = engine.crop_faces(vault.read_blob(photo.blob), faces)
        with transaction.atomic():
            if not Photo.objects.filter(pk=photo.pk, state__in=Photo.USABLE).update(
                state=Photo.State.CHOOSE_FACE, reasons=reasons, chosen_face=None, proposed_face=UNDECIDED
            ):
                continue
            for index, crop in enumerate(crops):
                blob = vault.write_blob(ring="source", key_id=photo.shoot_id, kind="face_crop", data=crop)
                FaceCrop.objects.create(photo=photo, index=index, blob=blob)
            record("photo.choose_face", shoot_id=photo.shoot_id, codes={"reasons": reasons})


def _refuse_strangers(photos: Sequence[Photo]) -> None:
    for photo in photos:
        refuse(photo, engine.Reason.NOT_SAME_PERSON.value)
