from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def name_installation(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the row with the id of this installation, which separates installations on a key server."""
    apps.get_model("vault", "Installation").objects.get_or_create(only=True)


class Migration(migrations.Migration):
    dependencies = [("vault", "0001_initial")]

    operations = [migrations.RunPython(name_installation, migrations.RunPython.noop)]
