"""Shoots: what belongs to them destroyed at once."""

from headshots.dashboard.actions.loading import load_shoot
from headshots.dashboard.deeds import Action, Answers, NotPossible
from headshots.shoots.lifecycle import begin_purge
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


ACTIONS = (
    Action(
        code="purge-photos",
        title="Destroy the photos now",
        question="Destroy the photos of this shoot and all that was measured in them? Live packs end.",
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
        question="Destroy the photos and every finished headshot of this shoot? There is no way back.",
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
