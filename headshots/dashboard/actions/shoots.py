"""Staff actions on shoots: purge now, view headshots with the customer's permission."""

from headshots.dashboard.actions.audit_actions import Action, ActionUnavailable, Answers
from headshots.dashboard.actions.targets import load_shoot
from headshots.shoots import support_access
from headshots.shoots.lifecycle import begin_purge, record
from headshots.shoots.models import Event, Shoot


def _purge_blocked_reason(shoot: Shoot) -> str:
    return "" if shoot.is_open else "The photos have already been deleted or are being deleted."


def _purge(shoot: Shoot, answers: Answers) -> str:
    if not begin_purge(shoot, actor=Event.Actor.STAFF):
        raise ActionUnavailable(_purge_blocked_reason(shoot))
    return "The photo key is destroyed. The encrypted files will be deleted within a minute."


def _full_purge_blocked_reason(shoot: Shoot) -> str:
    return "Photos and headshots have already been deleted or are being deleted." if shoot.purge_everything else ""


def _purge_everything(shoot: Shoot, answers: Answers) -> str:
    if not begin_purge(shoot, actor=Event.Actor.STAFF, everything=True):
        raise ActionUnavailable(_full_purge_blocked_reason(shoot))
    return "Photos and headshots are being deleted."


def _view_headshots_blocked_reason(shoot: Shoot) -> str:
    if not support_access.may_view(shoot):
        return "The customer hasn't given support access. They can do so on their shoot’s page."
    return ""


def _view_headshots(shoot: Shoot, answers: Answers) -> str:
    record(support_access.VIEWED, shoot_id=shoot.pk, actor=Event.Actor.STAFF)
    return "You can view the headshots while support access lasts. The customer can see that you did."


ACTIONS = (
    Action(
        code="view-headshots",
        title="View finished headshots",
        question="View this customer's finished headshots?",
        effects=(
            "You can view finished headshots, but not photos, while the customer grants support access.",
            "Your access is logged, and the customer can see it on their page.",
        ),
        undo_note="The log entry can't be removed.",
        target_type="shoot",
        permission="dashboard.view_gallery",
        load=load_shoot,
        state_of=lambda shoot: str(shoot.support_until or ""),
        blocked_reason=_view_headshots_blocked_reason,
        do=_view_headshots,
        shoot_of=lambda shoot: shoot.pk,
        success_url_name="admin:support_gallery",
    ),
    Action(
        code="purge-photos",
        title="Delete photos now",
        question="Delete the photos of this shoot now?",
        effects=(
            "The photos and all their measurements are deleted: the key right away, the rest within a minute.",
            "Unfinished packs are canceled, and their pictures are deleted.",
            "If such a pack was paid for, it becomes an open credit again.",
            "Finished headshots of delivered packs are kept until their scheduled deletion.",
            "The customer receives a deletion certificate.",
        ),
        undo_note="This can't be undone by anyone, not even from a backup.",
        target_type="shoot",
        permission="dashboard.purge_now",
        load=load_shoot,
        state_of=lambda shoot: f"{shoot.state} {shoot.purge_everything}",
        blocked_reason=_purge_blocked_reason,
        do=_purge,
        danger=True,
        shoot_of=lambda shoot: shoot.pk,
    ),
    Action(
        code="purge-everything",
        title="Delete photos and headshots now",
        question="Delete the photos and every finished headshot of this shoot now?",
        effects=(
            "The photos and all their measurements are deleted: the key right away, the rest within a minute.",
            "Every headshot of this shoot is deleted too, including those of delivered and paid packs.",
            "Unfinished packs are canceled. If such a pack was paid for, it becomes an open credit again.",
            "The customer receives a deletion certificate.",
        ),
        undo_note="This can't be undone by anyone, not even from a backup. Delivered packs are not refunded.",
        target_type="shoot",
        permission="dashboard.purge_now",
        load=load_shoot,
        state_of=lambda shoot: f"{shoot.state} {shoot.purge_everything}",
        blocked_reason=_full_purge_blocked_reason,
        do=_purge_everything,
        danger=True,
        shoot_of=lambda shoot: shoot.pk,
    ),
)
