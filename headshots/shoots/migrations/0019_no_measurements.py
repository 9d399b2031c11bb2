from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def rewrite_table(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Rewrite the table on PostgreSQL, which leaves a dropped column's values in every row. SQLite rewrites the rows
    itself, and blanks what it frees (secure_delete)."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("VACUUM FULL shoots_photo")


class Migration(migrations.Migration):
    # VACUUM runs in no transaction.
    atomic = False
    dependencies = [("shoots", "0018_faces_of_photos")]

    operations = [
        migrations.RemoveField(model_name="photo", name="measurements"),
        migrations.RunPython(rewrite_table, migrations.RunPython.noop),
    ]
