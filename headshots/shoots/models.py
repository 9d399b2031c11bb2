"""Models of a shoot: photos, consent, looks, packs, headshots. The pictures themselves are in the vault."""

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from headshots.shoots.events import Event as Event
from headshots.shoots.events import GateCount as GateCount
from headshots.shoots.events import Pause as Pause
from headshots.vault.models import Blob
from headshots.web.humanize import humanize_size


class Shoot(models.Model):
    """A set of photos of one person, with one consent. Its id is also the id of its key in the source ring."""

    class State(models.TextChoices):
        OPEN = "open"
        PURGING = "purging"
        PURGED = "purged"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="shoots"
    )
    # Idempotency key, one per rendered upload form: a form that is sent twice creates one shoot.
    submission = models.UUIDField(null=True, blank=True, editable=False)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    # Purge the finished headshots too, not only the photos.
    purge_everything = models.BooleanField(default=False)
    # The customer's self-description, for engines that draw new pictures. It is purged with the photos.
    self_description_blob = models.OneToOneField(
        Blob, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Chosen with the order: keep the photos until `delete_after` for another pack, not only until delivery.
    keep_photos = models.BooleanField(default=False)
    # The customer lets support view the finished headshots until this time.
    support_until = models.DateTimeField(null=True, blank=True)
    # The epoch of the source ring when the key was created. If the ring has another epoch now, the key is lost.
    keyring_epoch = models.UUIDField(null=True, editable=False)
    # The customer picks their face before any faces are compared. Faces of other people are then never embedded.
    ask_first = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    delete_after = models.DateTimeField()
    purged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state", "delete_after"]),
            models.Index(fields=["state", "keyring_epoch"]),
            models.Index(fields=["owner", "-created_at"]),
            models.Index(
                # SQLite only uses this index if it contains the owner, which is always None here.
                fields=["owner", "delete_after"],
                condition=models.Q(owner=None, purge_everything=False),
                name="ownerless_shoot_by_time",
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["owner", "submission"], name="one_shoot_per_submission")]

    def __str__(self) -> str:
        return str(self.id)

    def get_absolute_url(self) -> str:
        return reverse("shoots:detail", args=[self.pk])

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN


class Consent(models.Model):
    """The consent of a shoot: versions of the accepted texts, and when. Outlives the photos as proof of consent."""

    shoot = models.OneToOneField(Shoot, on_delete=models.PROTECT, related_name="consent")
    consent_version = models.CharField(max_length=32)
    is_me_version = models.CharField(max_length=32)
    given_at = models.DateTimeField(default=timezone.now, editable=False)
    withdrawn_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.consent_version}, {self.is_me_version}"


class Photo(models.Model):
    """An uploaded photo and its verdict, as codes. The measurements of its faces are in the vault."""

    class State(models.TextChoices):
        UPLOADED = "uploaded"
        ACCEPTED = "accepted"
        WARNED = "warned"
        CHOOSE_FACE = "choose_face"
        REFUSED = "refused"

    USABLE = (State.ACCEPTED, State.WARNED)
    DECIDED = (State.ACCEPTED, State.WARNED, State.REFUSED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    shoot = models.ForeignKey(Shoot, on_delete=models.CASCADE, related_name="photos")
    position = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.UPLOADED)
    reasons = models.JSONField(default=list, blank=True)
    chosen_face = models.PositiveSmallIntegerField(null=True, blank=True)
    # The customer's face, as proposed by comparing all photos. Negative: NOT_IN_IT, UNDECIDED of uploads/identity.py.
    proposed_face = models.SmallIntegerField(null=True, blank=True)
    # True if the customer chose `chosen_face`.
    picked = models.BooleanField(default=False)
    face_count = models.PositiveSmallIntegerField(default=0)
    # The quality of the photo, 0 to 100, and the codes of the most useful tips. Both are about the photo, not the face.
    # They are columns because the polled page shows them, and packs begin with the best photo.
    score = models.PositiveSmallIntegerField(null=True, blank=True)
    tips = models.JSONField(default=list, blank=True)
    checks = models.PositiveSmallIntegerField(default=0)
    blob = models.OneToOneField(Blob, on_delete=models.PROTECT, related_name="+")
    # Boxes, meshes and measurements of the detected faces. They are private, and therefore a blob in the vault.
    faces_blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["shoot", "position"], name="photo_position_unique")]

    def __str__(self) -> str:
        return str(self.id)


class FaceCrop(models.Model):
    """A small picture of one face of a photo. The customer picks their own face from several of them."""

    photo = models.ForeignKey(Photo, on_delete=models.CASCADE, related_name="face_crops")
    index = models.PositiveSmallIntegerField()
    blob = models.OneToOneField(Blob, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["photo", "index"], name="face_crop_index_unique")]

    def __str__(self) -> str:
        return f"{self.photo_id}/{self.index}"


class Style(models.Model):
    """A look: title, description and recipe, seeded from the pipeline's styles.toml and edited in the admin."""

    name = models.SlugField(max_length=40, unique=True)
    title = models.CharField(max_length=80)
    description = models.CharField(max_length=200, blank=True)
    # Set, light, grade and prompt: field names of pipeline.types.StyleSpec.
    recipe = models.JSONField(default=dict, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    active = models.BooleanField(default=True)
    # The price group. True: in free packs as well. False: in paid packs only.
    in_preview = models.BooleanField("in free packs", default=False)
    # The published version. None until the first one is published.
    current = models.ForeignKey("StyleVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        verbose_name = "look"
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.title


class StyleVersion(models.Model):
    """A saved version of a look: a draft until it is published. Its content never changes."""

    style = models.ForeignKey(Style, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=80)
    description = models.CharField(max_length=200, blank=True)
    recipe = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # The id of the staff account. None for the built-in look, which is version 1.
    created_by = models.BigIntegerField(null=True, editable=False)
    published_at = models.DateTimeField(null=True, blank=True)
    # The newest trial of this version, rendered from the built-in sample photo.
    trial = models.ForeignKey("Pack", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["style", "number"], name="one_version_per_number")]

    def __str__(self) -> str:
        return f"{self.title}, version {self.number}"


class Pack(models.Model):
    """A set of headshots ordered from a shoot. Its id is also the id of its key in the result ring."""

    class Kind(models.TextChoices):
        PREVIEW = "preview"
        PREMIUM = "premium"
        TRIAL = "trial"

    class State(models.TextChoices):
        AWAITING_PAYMENT = "awaiting_payment"
        QUEUED = "queued"
        RENDERING = "rendering"
        # Incomplete: the customer chooses between the finished headshots and their credit.
        AWAITING_ANSWER = "awaiting_answer"
        DELIVERED = "delivered"
        FAILED = "failed"
        CANCELED = "canceled"
        REVOKED = "revoked"
        DELETED = "deleted"

    class Reason(models.TextChoices):
        """Reasons for which the product ends a pack. The quality gate ends packs with a reason of `engine.Reason`."""

        STORAGE_FAILED = "storage_failed"
        ENGINE_BROKEN = "engine_broken"
        ENGINE_FAILED = "engine_failed"
        NOT_PAID = "not_paid"
        REFUNDED = "refunded"
        # The payment is disputed: the bank took the money back, or may still do so.
        REVOKED = "revoked"
        ON_REQUEST = "on_request"
        # The customer did not want a pack with missing headshots.
        INCOMPLETE = "incomplete"
        STAFF = "staff"
        ACCOUNT_DELETED = "account_deleted"
        PHOTOS_DELETED = "photos_deleted"
        PHOTOS_LOST = "photos_lost"
        # The customer deleted the shoot when headshots of the pack were already available.
        USED_AFTER_DELIVERY = "used_after_delivery"

    LIVE = (State.AWAITING_PAYMENT, State.QUEUED, State.RENDERING, State.AWAITING_ANSWER)
    # Ordered and paid, but not ended.
    IN_WORK = (State.QUEUED, State.RENDERING, State.AWAITING_ANSWER)
    ENDED = (State.DELIVERED, State.FAILED, State.CANCELED, State.REVOKED)
    # Finished pictures of packs in these states are not kept, as if the pack had never been ordered.
    UNDONE = (State.CANCELED, State.REVOKED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    shoot = models.ForeignKey(Shoot, on_delete=models.PROTECT, related_name="packs")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices)
    # The state in which the pack ended, kept after it is deleted. Empty while the pack is live.
    ended_as = models.CharField(max_length=16, choices=State.choices, blank=True)
    # Why the pack failed, was canceled or was revoked: one of `Reason` or `engine.Reason`. Templates hold the words.
    reason = models.CharField(max_length=32, blank=True)
    engine = models.CharField(max_length=16)
    total = models.PositiveSmallIntegerField()
    # Number of headshots that an incomplete pack lacks. Set when the customer is asked, and kept after the delivery.
    missing = models.PositiveSmallIntegerField(default=0)
    seed = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    # Counts of refused shots that were rendered again, and of shots that were replaced by others.
    reshoots = models.PositiveSmallIntegerField(default=0)
    replacements = models.PositiveSmallIntegerField(default=0)
    # Runs in a row that failed without a picture.
    consecutive_failures = models.PositiveSmallIntegerField(default=0)
    # No worker starts the pack before this time, which gives the operator time to repair the cause.
    retry_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    queued_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    # True while the email that the pack is ready, or asks for an answer, still has to be sent.
    mail_due = models.BooleanField(default=False)
    # True while payments still has to decide about a refund for the missing headshots of a delivered pack.
    refund_due = models.BooleanField(default=False)
    # When the finished headshots are deleted. Set when the pack ends.
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [
            models.Index(fields=["state", "queued_at"]),
            models.Index(fields=["state", "expires_at"]),
            models.Index(fields=["state", "delivered_at"]),
            models.Index(fields=["kind", "state"], name="pack_by_kind_and_state"),
            models.Index(fields=["refund_due"], condition=models.Q(refund_due=True), name="pack_with_refund_due"),
        ]
        constraints = [
            # Two workers may finish checking at the same time. The database refuses the second preview.
            models.UniqueConstraint(
                fields=["shoot"], condition=models.Q(kind="preview"), name="one_preview_pack_per_shoot"
            ),
            # A customer may order again, but not while an order is being paid or rendered.
            models.UniqueConstraint(
                fields=["shoot"],
                condition=models.Q(
                    kind="premium", state__in=["awaiting_payment", "queued", "rendering", "awaiting_answer"]
                ),
                name="one_live_premium_pack_per_shoot",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def size(self) -> str:
        """Return the size of the headshots in words, such as "4K"."""
        return humanize_size(max(self.width, self.height))

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE

    @property
    def available(self) -> int:
        """Return how many headshots a pack has that is complete, or as complete as it gets."""
        return self.total - self.missing

    @property
    def awaiting_retry(self) -> bool:
        """Return True while the pack is queued and its retry after a failure is not due yet."""
        return self.state == self.State.QUEUED and self.retry_at is not None and self.retry_at > timezone.now()


class Headshot(models.Model):
    """A shot of a pack, and the lease of the worker that is rendering it."""

    class State(models.TextChoices):
        PENDING = "pending"
        RENDERING = "rendering"
        DONE = "done"
        REJECTED = "rejected"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pack = models.ForeignKey(Pack, on_delete=models.CASCADE, related_name="headshots")
    index = models.PositiveSmallIntegerField()
    style = models.ForeignKey(Style, on_delete=models.PROTECT, related_name="+")
    # The published version of the look when the shot was planned. Later versions do not change the pack.
    version = models.ForeignKey(StyleVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    seed = models.PositiveIntegerField()
    # How close the person is, and where the lights are, by the pipeline's names.
    framing = models.CharField(max_length=16, default="classic")
    light = models.CharField(max_length=8, default="key")
    state = models.CharField(max_length=9, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True)
    # The worker's node name. After a crash, the restarted worker frees its old leases by this name.
    lease_holder = models.CharField(max_length=255, blank=True, editable=False)
    # Rounded to 0.01, which is precise enough to rank pictures and too coarse to recognize a person.
    likeness = models.FloatField(null=True, blank=True)
    quality = models.FloatField(null=True, blank=True)
    # Used to find pictures that look alike: the mean colors of twenty fields of the picture.
    perceptual_hash = models.CharField(max_length=120, blank=True, editable=False)
    # Number of pictures rendered for this shot. A replacement starts again at 0.
    renders = models.PositiveSmallIntegerField(default=0)
    # True if another shot replaced the planned one, which did not pass the gate.
    replaced = models.BooleanField(default=False)
    reasons = models.JSONField(default=list, blank=True)
    blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    # Premium headshots only: a copy of 1,200 px, a square around the face, and a thumbnail for the page of the pack.
    web_blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    profile_blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    thumbnail_blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    is_favorite = models.BooleanField(default=False)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["pack", "index"], name="headshot_index_unique")]
        indexes = [models.Index(fields=["state", "lease_until"])]

    def __str__(self) -> str:
        return f"{self.pack_id}/{self.index}"

    @property
    def look(self) -> StyleVersion | Style:
        """Return the look as it was when the shot was planned, or the current look if that version is gone."""
        return self.version or self.style


class Preparation(models.Model):
    """A prepared subject that the workers of a pack share, and the lease of the worker that prepares it.

    Used only where preparing takes long. `blob` is the result, None until it is ready. Deleting the blob deletes the
    row, so that the row cannot block a purge of the photos' blobs."""

    pack = models.OneToOneField(Pack, on_delete=models.CASCADE, related_name="preparation")
    blob = models.OneToOneField(Blob, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    lease_token = models.UUIDField(editable=False)
    lease_until = models.DateTimeField()
    lease_holder = models.CharField(max_length=255, blank=True, editable=False)
    began_at = models.DateTimeField()
    # Progress of the preparation, 0..1.
    share = models.FloatField(default=0.0)

    def __str__(self) -> str:
        return f"of {self.pack_id}"
