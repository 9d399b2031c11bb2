import django.db.models.deletion
import django.utils.timezone
import headshots.retention.models
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='LastRun',
            fields=[
                ('task', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('orphaned_keys', models.JSONField(blank=True, default=dict)),
            ],
        ),
        migrations.CreateModel(
            name='DeletionCertificate',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('reference', models.CharField(default=headshots.retention.models.new_reference, editable=False, max_length=16, unique=True)),
                ('kind', models.CharField(choices=[('shoot', 'Shoot'), ('account', 'Account')], max_length=7)),
                ('requested_by', models.CharField(choices=[('person', 'Person'), ('staff', 'Staff'), ('system', 'System')], max_length=8)),
                ('shoot_id', models.UUIDField(db_index=True, editable=False, null=True)),
                ('begun_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('done_at', models.DateTimeField(editable=False, null=True)),
                ('backups_until', models.DateTimeField(editable=False, null=True)),
                ('result_keys_until', models.DateTimeField(editable=False, null=True)),
                ('account', models.JSONField(blank=True, default=dict, editable=False)),
                ('keep_until', models.DateTimeField(db_index=True, editable=False)),
                ('mailed_at', models.DateTimeField(editable=False, null=True)),
                ('owner', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='deletion_certificates', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-begun_at'],
            },
        ),
        migrations.CreateModel(
            name='KeyDestruction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('ring', models.CharField(choices=[('source', 'Source'), ('result', 'Result')], max_length=8)),
                ('key_id', models.UUIDField()),
                ('shoot_id', models.UUIDField(db_index=True)),
                ('destroyed_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('done_at', models.DateTimeField(editable=False, null=True)),
                ('counts', models.JSONField(blank=True, default=dict)),
                ('certificate', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='key_destructions', to='retention.deletioncertificate')),
            ],
            options={
                'ordering': ['destroyed_at'],
            },
        ),
        migrations.AddConstraint(
            model_name='deletioncertificate',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'account')), fields=('owner',), name='one_certificate_per_account'),
        ),
        migrations.AddConstraint(
            model_name='keydestruction',
            constraint=models.UniqueConstraint(fields=('ring', 'key_id'), name='one_destruction_per_key'),
        ),
    ]
