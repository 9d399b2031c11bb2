"""Staff actions on shoots: purge now, view headshots with the customer's permission."""

from headshots.dashboard.actions.audit_actions import Action, ActionUnavailable, Answers
from headshots.dashboard.actions.targets import load_shoot
from headshots.shoots import support_access
from headshots.shoots.lifecycle import begin_purge, record
from headshots.shoots.models import Event, Shoot


def _purge_blocked_reason(shoot: Shoot) -> str:
    return "" if shoot.is_open else "Its photos are gone already, or are being destroyed."


def _purge(shoot: Shoot, answers: Answers) -> str:
    if not begin_purge(shoot, actor=Event.Actor.STAFF):
        raise ActionUnavailable(_purge_blocked_reason(shoot))
    return "The photos' key is destroyed; what it sealed is removed within a minute."


def _full_purge_blocked_reason(shoot: Shoot) -> str:
    return "Everything of it is gone already, or is being destroyed." if shoot.purge_everything else ""


def _purge_everything(shoot: Shoot, answers: Answers) -> str:
    if not begin_purge(shoot, actor=Event.Actor.STAFF, everything=True):
        raise ActionUnavailable(_full_purge_blocked_reason(shoot))
    return "Photos and headshots are being destroyed."


def _view_headshots_blocked_reason(shoot: Shoot) -> str:
    if not support_access.may_view(shoot):
        return "Its person does not let support look at the headshots. They can, on the page of the shoot."
    return ""


def _view_headshots(shoot: Shoot, answers: Answers) -> str:
    record(support_access.VIEWED, shoot_id=shoot.pk, actor=Event.Actor.STAFF)
    return "You may look at them while support access lasts. The person is shown that you did."


ACTIONS = (
    Action(
        code="view-headshots",
        title="Look at the finished headshots",
        question="Look at this person's finished headshots?",
        effects=(
            "You see the finished headshots while the customer grants support access, never the photos.",
            "It is written down, and the person is shown on their page that support looked.",
        ),
        undo_note="That you looked cannot be taken out of the log.",
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
        title="Destroy the photos now",
        question="Destroy the photos of this shoot now?",
        effects=(
            "The photos and all that was measured in them are destroyed: their key at once, the rest within a minute.",
            "Packs that wait or are being made are canceled, with what is done of them.",
            "What was paid for those becomes an open credit again.",
            "Finished headshots of delivered packs stay until their date.",
            "The person gets a deletion certificate.",
        ),
        undo_note="This cannot be undone, by nobody and from no backup.",
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
        title="Destroy photos and headshots now",
        question="Destroy the photos and every finished headshot of this shoot now?",
        effects=(
            "The photos and all that was measured in them are destroyed: their key at once, the rest within a minute.",
            "Every headshot of this shoot is destroyed too, also those of delivered and paid packs.",
            "Packs that wait or are being made are canceled; what was paid for those becomes an open credit again.",
            "The person gets a deletion certificate.",
        ),
        undo_note="This cannot be undone, by nobody and from no backup. What was delivered is not paid back by this.",
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
