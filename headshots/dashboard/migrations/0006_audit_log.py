import django.utils.timezone
from django.db import migrations, models


def take_over_edits(apps, schema_editor):
    """What Django kept of edits in a log of its own becomes part of the audit log."""
    Deed = apps.get_model("dashboard", "Deed")
    LogEntry = apps.get_model("admin", "LogEntry")
    subjects = {"user": "account", "style": "style"}
    entries = LogEntry.objects.filter(content_type__model__in=subjects).select_related("content_type")
    Deed.objects.bulk_create(
        Deed(
            at=entry.action_time,
            who=entry.user_id,
            action="add" if entry.action_flag == 1 else "edit",
            subject=subjects[entry.content_type.model],
            subject_id=entry.object_id or "",
            details={"fields": entry.change_message[:500]},
        )
        for entry in entries.iterator()
    )
    entries.delete()


class Migration(migrations.Migration):
    dependencies = [
        ("dashboard", "0005_looking_with_leave"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="deed",
            options={
                "default_permissions": ("view",),
                "ordering": ["-at", "-pk"],
                "permissions": [
                    ("view_figures", "May see the dashboard's figures"),
                    ("view_money", "May see revenue and refunds"),
                    ("view_timeline", "May see what happened to a shoot"),
                    ("look_at_headshots", "May look at finished headshots, with their person's leave"),
                    ("run_packs", "May retry and cancel packs"),
                    ("block_account", "May block accounts"),
                    ("purge_now", "May have photos destroyed at once"),
                    ("resend_mail", "May send mails again"),
                    ("pause", "May pause uploads and rendering"),
                ],
                "verbose_name": "audit log entry",
                "verbose_name_plural": "audit log",
            },
        ),
        migrations.AlterField(
            model_name="deed",
            name="at",
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="time"),
        ),
        migrations.AddField(
            model_name="deed",
            name="about",
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.RunPython(take_over_edits, migrations.RunPython.noop),
    ]
