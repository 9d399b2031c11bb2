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
        what.add_argument("--shoot", type=UUID, help="the photos of this shoot and all that derives from them")
        what.add_argument("--pack", type=UUID, help="the finished headshots of this pack, which must have ended")
        what.add_argument("--all-due", action="store_true", help="everything whose time has come")
        what.add_argument("--orphans", action="store_true", help="files, blobs and keys that belong to nobody")
        parser.add_argument("--everything", action="store_true", help="with --shoot: its finished headshots too")

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
            raise CommandError("--everything goes with --shoot.")
        if shoot:
            self._purge_shoot(shoot, everything)
        elif pack:
            self._delete_pack(pack)
        elif all_due:
            self._purge_due()
        else:
            result = sweep_orphans(everything=True)
            self.stdout.write(
                f"{result.files + result.unfinished} files, {result.blobs} blobs, {result.keys} keys removed;"
                f" {result.lost} blobs lack their file."
            )
        if checkpoint_journals():
            return
        if keeps_deleted_rows():
            self.stderr.write("The database's journal holds deleted rows until its server recycles it: docs/privacy.md")
        else:
            self.stderr.write("The database's journal is in use and still holds deleted rows; beat will empty it.")

    def _purge_shoot(self, shoot_id: UUID, everything: bool) -> None:
        shoot = Shoot.objects.filter(pk=shoot_id).first()
        if shoot is None:
            raise CommandError(f"There is no shoot {shoot_id}.")
        begin_purge(shoot, actor=Event.Actor.STAFF, everything=everything)
        purge_shoot(shoot=shoot)
        if shoot.state != Shoot.State.PURGED:
            raise CommandError(f"Shoot {shoot_id} is not finished; try again, or leave it to beat.")
        self.stdout.write(f"Shoot {shoot_id} is purged.")

    def _delete_pack(self, pack_id: UUID) -> None:
        pack = Pack.objects.filter(pk=pack_id).first()
        if pack is None:
            raise CommandError(f"There is no pack {pack_id}.")
        delete_pack(pack=pack, actor=Event.Actor.STAFF)
        if pack.state != Pack.State.DELETED:
            raise CommandError(f"Pack {pack_id} is {pack.state}: it has not ended yet.")
        self.stdout.write(f"Pack {pack_id} is deleted.")

    def _purge_due(self) -> None:
        result = purge_due()
        self.stdout.write(f"{result.shoots} shoots purged, {result.packs} packs deleted, {result.keys} keys expired.")
        if result.failed:
            raise CommandError(f"{result.failed} could not be finished; the log says why. Try again.")
