import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='AuditLogEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name='time')),
                ('staff_id', models.BigIntegerField(db_index=True, verbose_name='staff account')),
                ('action', models.CharField(max_length=40)),
                ('target_type', models.CharField(max_length=20)),
                ('target_id', models.CharField(blank=True, max_length=64)),
                ('target_name', models.CharField(blank=True, max_length=100)),
                ('shoot_id', models.UUIDField(blank=True, db_index=True, null=True)),
                ('reason', models.CharField(max_length=200)),
                ('details', models.JSONField(blank=True, default=dict)),
                ('submission', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
            ],
            options={
                'verbose_name': 'audit log entry',
                'verbose_name_plural': 'audit log',
                'ordering': ['-at', '-pk'],
                'permissions': [('view_stats', "Can view statistics"), ('view_money', 'Can view revenue and refunds'), ('view_timeline', 'Can view shoot timelines'), ('view_gallery', 'Can view finished headshots with support access'), ('manage_packs', 'Can retry and cancel packs'), ('block_account', 'Can block accounts'), ('purge_now', 'Can delete photos immediately'), ('resend_mail', 'Can resend emails'), ('pause', 'Can pause uploads and rendering')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='DayCounts',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('rules_version', models.PositiveSmallIntegerField(help_text='Version of the counting rules (`aggregation.RULES_VERSION`).')),
                ('counts', models.JSONField(default=dict)),
            ],
            options={
                'ordering': ['day'],
            },
        ),
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('name', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('queue', models.CharField(max_length=40)),
                ('engine', models.CharField(blank=True, max_length=16)),
                ('device', models.CharField(blank=True, max_length=80)),
                ('memory_bytes', models.PositiveBigIntegerField(default=0)),
                ('device_used_bytes', models.PositiveBigIntegerField(null=True)),
                ('device_total_bytes', models.PositiveBigIntegerField(null=True)),
                ('busy', models.BooleanField(default=False)),
                ('started_at', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
            ],
            options={
                'ordering': ['queue', 'name'],
            },
        ),
        migrations.CreateModel(
            name='Visit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('page', models.CharField(max_length=60)),
                ('views', models.PositiveIntegerField(default=0)),
                ('visits', models.PositiveIntegerField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('day', 'page'), name='one_row_per_day_and_page')],
            },
        ),
    ]
