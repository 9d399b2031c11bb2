from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def name_installation(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give this installation its id, which key servers tell installations apart by."""
    apps.get_model("vault", "Installation").objects.get_or_create(only=True)


class Migration(migrations.Migration):
    dependencies = [("vault", "0001_initial")]

    operations = [migrations.RunPython(name_installation, migrations.RunPython.noop)]
