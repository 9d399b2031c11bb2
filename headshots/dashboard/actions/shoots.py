"""Shoots: what belongs to them destroyed at once, or looked at with leave."""

from headshots.dashboard.actions.audit_actions import Action, Answers, NotPossible
from headshots.dashboard.actions.targets import load_shoot
from headshots.shoots import support_access
from headshots.shoots.lifecycle import begin_purge, record
from headshots.shoots.models import Event, Shoot


def _why_no_purge(shoot: Shoot) -> str:
    return "" if shoot.is_open else "Its photos are gone already, or are being destroyed."


def _purge(shoot: Shoot, answers: Answers) -> str:
    if not begin_purge(shoot, actor=Event.Actor.STAFF):
        raise NotPossible(_why_no_purge(shoot))
    return "The photos' key is destroyed; what it sealed is removed within a minute."


def _why_no_full_purge(shoot: Shoot) -> str:
    return "Everything of it is gone already, or is being destroyed." if shoot.purge_everything else ""


def _purge_everything(shoot: Shoot, answers: Answers) -> str:
    if not begin_purge(shoot, actor=Event.Actor.STAFF, everything=True):
        raise NotPossible(_why_no_full_purge(shoot))
    return "Photos and headshots are being destroyed."


def _why_no_look(shoot: Shoot) -> str:
    if not support_access.may_look(shoot):
        return "Its person does not let support look at the headshots. They can, on the page of the shoot."
    return ""


def _look(shoot: Shoot, answers: Answers) -> str:
    record(support_access.LOOKED, shoot_id=shoot.pk, actor=Event.Actor.STAFF)
    return "You may look at them while the leave holds. The person is shown that you did."


ACTIONS = (
    Action(
        code="look-at-headshots",
        title="Look at the finished headshots",
        question="Look at this person's finished headshots?",
        effects=(
            "You see the finished headshots while the person's leave holds, never the photos.",
            "It is written down, and the person is shown on their page that support looked.",
        ),
        way_back="That you looked cannot be taken out of the log.",
        subject="shoot",
        permission="dashboard.look_at_headshots",
        load=load_shoot,
        state_of=lambda shoot: str(shoot.support_until or ""),
        why_not=_why_no_look,
        do=_look,
        shoot_of=lambda shoot: shoot.pk,
        then="admin:support_gallery",
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
            "The person gets a deletion receipt.",
        ),
        way_back="This cannot be undone, by nobody and from no backup.",
        subject="shoot",
        permission="dashboard.purge_now",
        load=load_shoot,
        state_of=lambda shoot: f"{shoot.state} {shoot.purge_everything}",
        why_not=_why_no_purge,
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
            "The person gets a deletion receipt.",
        ),
        way_back="This cannot be undone, by nobody and from no backup. What was delivered is not paid back by this.",
        subject="shoot",
        permission="dashboard.purge_now",
        load=load_shoot,
        state_of=lambda shoot: f"{shoot.state} {shoot.purge_everything}",
        why_not=_why_no_full_purge,
        do=_purge_everything,
        danger=True,
        shoot_of=lambda shoot: shoot.pk,
    ),
)
