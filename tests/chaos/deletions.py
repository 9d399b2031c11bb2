"""A program of the tests: one shoot, one account, deleted by several processes at the same moment.

    python -m tests.chaos.deletions [--full]

Runs on the database that the environment names; every process is a fork of this one."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import django

django.setup()

from django.conf import settings
from django.core.management import call_command

from headshots.accounts.models import User
from headshots.data_rights.services import begin_account_deletion, finish_account_deletion, withdraw_consent
from headshots.retention.models import DeletionCertificate, KeyDestruction
from headshots.retention.purging import purge_shoot
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.looks.versions import seed_styles
from headshots.shoots.models import Event, Shoot
from tests.chaos.killed import full_shoot, leftovers
from tests.chaos.webhook_processes import ended, in_process

# An even number: every other round is of another kind.
ROUNDS = 8 if "--full" in sys.argv else 2


def at_once(*works: Callable[[], object]) -> None:
    """Each in a process of its own, begun at the same moment; all of them end well."""
    begin = time.monotonic() + 0.3

    def waiting(work: Callable[[], object]) -> None:
        time.sleep(max(0.0, begin - time.monotonic()))
        work()

    pids = [in_process(lambda work=work: waiting(work)) for work in works]
    failed = [status for status in [ended(pid) for pid in pids] if status]
    assert not failed, failed


def delete_shoot(shoot: Shoot) -> None:
    """What the page's button does, and the worker that it calls."""
    begin_purge(shoot, actor=Event.Actor.PERSON, everything=True)
    purge_shoot(shoot=shoot)


def delete_account(owner: User, certificate_id: object) -> None:
    """What the page's form does, until it is through."""
    begin_account_deletion(owner=owner, certificate_id=certificate_id)  # type: ignore[arg-type]
    give_up = time.monotonic() + 60
    while not finish_account_deletion(owner=owner):
        assert time.monotonic() < give_up
        time.sleep(0.05)


def check_shoot(shoot: Shoot) -> None:
    shoot.refresh_from_db()
    assert (shoot.state, shoot.purge_everything) == (Shoot.State.PURGED, True)
    assert not any(leftovers().values()), leftovers()
    destructions = KeyDestruction.objects.filter(shoot_id=shoot.pk)
    assert destructions.count() == 3, destructions.count()
    assert all(destruction.certificate_id and destruction.done_at for destruction in destructions)
    for name, count in (("shoot.purging", 1), ("shoot.purged", 1), ("pack.deleted", 2)):
        assert Event.objects.filter(shoot_id=shoot.pk, name=name).count() == count, name


def shoots() -> int:
    """Deleted twice, withdrawn and deleted: one certificate each."""
    owner = User.objects.create_user("one@example.org")
    for number in range(ROUNDS):
        shoot = full_shoot(owner)
        other = delete_shoot if number % 2 else lambda shoot: withdraw_consent(shoot=shoot)
        at_once(lambda shoot=shoot: delete_shoot(shoot), lambda shoot=shoot, other=other: other(shoot))
        check_shoot(shoot)
        assert DeletionCertificate.objects.filter(shoot_id=shoot.pk).count() == 1
    return ROUNDS


def accounts() -> int:
    """Deleted from two tabs, or by a double click, while a shoot of it is deleted too: one certificate, one mail."""
    for number in range(ROUNDS):
        owner = User.objects.create_user(f"leaving{number}@example.org")
        settings.HEADSHOTS_PREVIEWS_PER_DAY = 100
        several = [full_shoot(owner), full_shoot(owner)]
        first = uuid4()
        second = uuid4() if number % 2 else first
        before = mails()
        at_once(
            lambda owner=owner, first=first: delete_account(owner, first),
            lambda owner=owner, second=second: delete_account(owner, second),
            lambda shoot=several[0]: delete_shoot(shoot),
        )
        assert not User.objects.filter(pk=owner.pk).exists()
        for shoot in several:
            check_shoot(shoot)
        # The shoot that was faster than the account may have one of its own.
        certificate = DeletionCertificate.objects.get(kind=DeletionCertificate.Kind.ACCOUNT, pk__in={first, second})
        assert certificate.key_destructions.filter(shoot_id=several[1].pk).count() == 3
        assert certificate.done_at
        assert mails() == before + 1, (before, mails())
    return ROUNDS


def mails() -> int:
    return len(list((Path(settings.HEADSHOTS_DATA_DIR) / "mail").glob("*.log")))


if __name__ == "__main__":
    os.umask(0o077)
    call_command("migrate", verbosity=0)
    seed_styles()
    (Path(settings.HEADSHOTS_DATA_DIR) / "blobs").mkdir(exist_ok=True)
    print(json.dumps({"shoots": shoots(), "accounts": accounts()}))
