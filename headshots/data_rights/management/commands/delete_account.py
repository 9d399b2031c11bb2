"""Delete an account on its owner's request, or after a restore."""

from argparse import ArgumentParser
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError

from headshots.accounts.models import User
from headshots.data_rights.services import begin_account_deletion, finish_account_deletion
from headshots.shoots.models import Event


class Command(BaseCommand):
    help = (
        "Delete an account as its owner would: keys, pictures, rows, sessions, address. A certificate is mailed before."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=int, help="the account's number, as the admin and the log name it")

    def handle(self, *args: str, number: int, **options: object) -> None:
        owner = User.objects.filter(pk=number).first()
        if owner is None:
            raise CommandError(f"There is no account {number}.")
        if owner.is_staff:
            raise CommandError(f"Account {number} may enter the admin: take that right away first.")
        certificate = begin_account_deletion(owner=owner, certificate_id=uuid4(), actor=Event.Actor.STAFF)
        done = finish_account_deletion(owner=owner)
        self.stdout.write(f"Certificate {certificate}.")
        if not done:
            raise CommandError(f"Account {number} is closed and its keys are dead; beat removes the rest.")
        self.stdout.write(f"Account {number} is deleted.")
