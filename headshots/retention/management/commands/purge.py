"""Purge by hand what beat purges automatically."""

from argparse import ArgumentParser
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from headshots.retention.due import purge_due
from headshots.retention.orphans import sweep_orphans
from headshots.retention.purging import delete_pack, purge_shoot
from headshots.retention.wal import checkpoint_journals, keeps_deleted_rows
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Event, Pack, Shoot


class Command(BaseCommand):
    help = "Destroy photos and headshots: keys first, then files, then rows. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--shoot", type=UUID, help="the photos of this shoot and everything derived from them")
        what.add_argument("--pack", type=UUID, help="the finished headshots of this pack (not while it is being made)")
        what.add_argument("--all-due", action="store_true", help="everything that is due")
        what.add_argument("--orphans", action="store_true", help="files, blobs and keys without a shoot or pack")
        parser.add_argument("--everything", action="store_true", help="with --shoot: also its finished headshots")

    def handle(
        self,
        *args: str,
        shoot: UUID | None,
        pack: UUID | None,
        all_due: bool,
        orphans: bool,
        everything: bool,
        **options: object,
    ) -> None:
        if everything and not shoot:
            raise CommandError("--everything needs --shoot.")
        if shoot:
            self._purge_shoot(shoot, everything)
        elif pack:
            self._delete_pack(pack)
        elif all_due:
            self._purge_due()
        else:
            result = sweep_orphans(everything=True)
            self.stdout.write(
                f"Removed files: {result.files + result.unfinished}, blobs: {result.blobs}, keys: {result.keys}."
                f" Blobs without a file: {result.lost}."
            )
        if checkpoint_journals():
            return
        if keeps_deleted_rows():
            self.stderr.write(
                "The database server's log contains deleted rows until it is recycled. See docs/privacy.md."
            )
        else:
            self.stderr.write("The database journal is in use and contains deleted rows. Celery beat will empty it.")

    def _purge_shoot(self, shoot_id: UUID, everything: bool) -> None:
        shoot = Shoot.objects.filter(pk=shoot_id).first()
        if shoot is None:
            raise CommandError(f"Shoot {shoot_id} does not exist.")
        begin_purge(shoot, actor=Event.Actor.STAFF, everything=everything)
        purge_shoot(shoot=shoot)
        if shoot.state != Shoot.State.PURGED:
            raise CommandError(f"Shoot {shoot_id} is not fully purged yet. Try again, or let Celery beat finish it.")
        self.stdout.write(f"Purged shoot {shoot_id}.")

    def _delete_pack(self, pack_id: UUID) -> None:
        pack = Pack.objects.filter(pk=pack_id).first()
        if pack is None:
            raise CommandError(f"Pack {pack_id} does not exist.")
        delete_pack(pack=pack, actor=Event.Actor.STAFF)
        if pack.state != Pack.State.DELETED:
            raise CommandError(f"Pack {pack_id} is not finished yet (state: {pack.state}).")
        self.stdout.write(f"Deleted pack {pack_id}.")

    def _purge_due(self) -> None:
        result = purge_due()
        self.stdout.write(
            f"Purged shoots: {result.shoots}. Deleted packs: {result.packs}. Expired keys: {result.keys}."
        )
        if result.failed:
            raise CommandError(f"{result.failed} items could not be deleted. See the log, then try again.")
