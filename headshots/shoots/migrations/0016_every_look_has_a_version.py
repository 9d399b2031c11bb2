from django.db import migrations
from django.utils import timezone


def give_versions(apps, schema_editor):
    """The built-in looks as version 1, and what was ordered in them: it keeps its name when a look is renamed."""
    Style = apps.get_model("shoots", "Style")
    StyleVersion = apps.get_model("shoots", "StyleVersion")
    Headshot = apps.get_model("shoots", "Headshot")
    now = timezone.now()
    for style in Style.objects.all():
        first = StyleVersion.objects.filter(style=style, number=1).first()
        if first is None:
            first = StyleVersion.objects.create(
                style=style,
                number=1,
                title=style.title,
                description=style.description,
                recipe=style.recipe,
                made_at=now,
                published_at=now,
            )
            Style.objects.filter(pk=style.pk).update(current=first)
        if first.made_by is None:
            Headshot.objects.filter(style=style, version=None).update(version=first)


class Migration(migrations.Migration):
    dependencies = [("shoots", "0015_support_leave")]

    operations = [migrations.RunPython(give_versions, migrations.RunPython.noop)]
