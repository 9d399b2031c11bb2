"""Measurements of faces move from the table into the vault. Those of photos that were checked before are not moved:
shoots that still need them are checked once more, all others only lose the score that their page shows."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def check_again(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Have the photos of open shoots without a pack checked again: beat finds them. Their blobs go with the shoot's key."""
    shoots = apps.get_model("shoots", "Shoot").objects.filter(state="open", packs=None)
    apps.get_model("shoots", "FaceCrop").objects.filter(photo__shoot__in=shoots).delete()
    # Not a photo of which its person has said that they are not in it.
    photos = apps.get_model("shoots", "Photo").objects.filter(shoot__in=shoots).exclude(state="refused")
    photos.update(
        state="uploaded", reasons=[], chosen_face=None, proposed_face=None, picked=False, checks=0, faces_blob=None
    )


class Migration(migrations.Migration):
    dependencies = [("shoots", "0017_pack_rests")]

    operations = [
        migrations.AddField(
            model_name="photo", name="face_count", field=models.PositiveSmallIntegerField(default=0)
        ),
        migrations.AddField(
            model_name="photo", name="score", field=models.PositiveSmallIntegerField(blank=True, null=True)
        ),
        migrations.AddField(model_name="photo", name="tips", field=models.JSONField(blank=True, default=list)),
        migrations.RunPython(check_again, migrations.RunPython.noop),
    ]
