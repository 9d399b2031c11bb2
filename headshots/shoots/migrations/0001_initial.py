import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('vault', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Pack',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('preview', 'Preview'), ('premium', 'Premium'), ('trial', 'Trial')], max_length=8)),
                ('state', models.CharField(choices=[('awaiting_payment', 'Awaiting Payment'), ('queued', 'Queued'), ('rendering', 'Rendering'), ('delivered', 'Delivered'), ('failed', 'Failed'), ('canceled', 'Canceled'), ('revoked', 'Revoked'), ('deleted', 'Deleted')], max_length=16)),
                ('ended_as', models.CharField(blank=True, choices=[('awaiting_payment', 'Awaiting Payment'), ('queued', 'Queued'), ('rendering', 'Rendering'), ('delivered', 'Delivered'), ('failed', 'Failed'), ('canceled', 'Canceled'), ('revoked', 'Revoked'), ('deleted', 'Deleted')], max_length=16)),
                ('reason', models.CharField(blank=True, max_length=32)),
                ('engine', models.CharField(max_length=16)),
                ('total', models.PositiveSmallIntegerField()),
                ('seed', models.PositiveIntegerField()),
                ('width', models.PositiveIntegerField()),
                ('height', models.PositiveIntegerField()),
                ('reshoots', models.PositiveSmallIntegerField(default=0)),
                ('replacements', models.PositiveSmallIntegerField(default=0)),
                ('consecutive_failures', models.PositiveSmallIntegerField(default=0)),
                ('retry_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('queued_at', models.DateTimeField(blank=True, null=True)),
                ('delivered_at', models.DateTimeField(blank=True, null=True)),
                ('mail_due', models.BooleanField(default=False)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['created_at'],
            },
        ),
        migrations.CreateModel(
            name='Pause',
            fields=[
                ('part', models.CharField(choices=[('uploads', 'Uploads'), ('rendering', 'Rendering')], max_length=12, primary_key=True, serialize=False)),
                ('since', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name='Style',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=40, unique=True)),
                ('title', models.CharField(max_length=80)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('recipe', models.JSONField(blank=True, default=dict)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('active', models.BooleanField(default=True)),
                ('in_preview', models.BooleanField(default=False, verbose_name='in free packs')),
            ],
            options={
                'verbose_name': 'look',
                'ordering': ['position', 'name'],
            },
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('shoot_id', models.UUIDField(db_index=True)),
                ('pack_id', models.UUIDField(blank=True, null=True)),
                ('name', models.CharField(max_length=40)),
                ('actor', models.CharField(choices=[('person', 'Person'), ('staff', 'Staff'), ('system', 'System')], default='system', max_length=8)),
                ('codes', models.JSONField(blank=True, default=dict)),
                ('numbers', models.JSONField(blank=True, default=dict)),
            ],
            options={
                'ordering': ['at', 'id'],
                'indexes': [models.Index(fields=['name', 'at'], name='shoots_even_name_2856b1_idx'), models.Index(fields=['at'], name='event_by_time')],
            },
        ),
        migrations.CreateModel(
            name='Preparation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lease_token', models.UUIDField(editable=False)),
                ('lease_until', models.DateTimeField()),
                ('lease_holder', models.CharField(blank=True, editable=False, max_length=255)),
                ('began_at', models.DateTimeField()),
                ('share', models.FloatField(default=0.0)),
                ('blob', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='vault.blob')),
                ('pack', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='preparation', to='shoots.pack')),
            ],
        ),
        migrations.CreateModel(
            name='Shoot',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('submission', models.UUIDField(blank=True, editable=False, null=True)),
                ('state', models.CharField(choices=[('open', 'Open'), ('purging', 'Purging'), ('purged', 'Purged')], default='open', max_length=8)),
                ('purge_everything', models.BooleanField(default=False)),
                ('keep_photos', models.BooleanField(default=False)),
                ('support_until', models.DateTimeField(blank=True, null=True)),
                ('keyring_epoch', models.UUIDField(editable=False, null=True)),
                ('ask_first', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('delete_after', models.DateTimeField()),
                ('purged_at', models.DateTimeField(blank=True, null=True)),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='shoots', to=settings.AUTH_USER_MODEL)),
                ('self_description_blob', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='vault.blob')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='Photo',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveSmallIntegerField()),
                ('state', models.CharField(choices=[('uploaded', 'Uploaded'), ('accepted', 'Accepted'), ('warned', 'Warned'), ('choose_face', 'Choose Face'), ('refused', 'Refused')], default='uploaded', max_length=12)),
                ('reasons', models.JSONField(blank=True, default=list)),
                ('chosen_face', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('proposed_face', models.SmallIntegerField(blank=True, null=True)),
                ('picked', models.BooleanField(default=False)),
                ('face_count', models.PositiveSmallIntegerField(default=0)),
                ('score', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('tips', models.JSONField(blank=True, default=list)),
                ('checks', models.PositiveSmallIntegerField(default=0)),
                ('blob', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='vault.blob')),
                ('faces_blob', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='vault.blob')),
                ('shoot', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='photos', to='shoots.shoot')),
            ],
            options={
                'ordering': ['position'],
            },
        ),
        migrations.AddField(
            model_name='pack',
            name='shoot',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='packs', to='shoots.shoot'),
        ),
        migrations.CreateModel(
            name='Consent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('consent_version', models.CharField(max_length=32)),
                ('is_me_version', models.CharField(max_length=32)),
                ('given_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('withdrawn_at', models.DateTimeField(editable=False, null=True)),
                ('shoot', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='consent', to='shoots.shoot')),
            ],
        ),
        migrations.CreateModel(
            name='StyleVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('title', models.CharField(max_length=80)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('recipe', models.JSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('created_by', models.BigIntegerField(editable=False, null=True)),
                ('published_at', models.DateTimeField(blank=True, null=True)),
                ('style', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='shoots.style')),
                ('trial', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='shoots.pack')),
            ],
            options={
                'ordering': ['-number'],
            },
        ),
        migrations.AddField(
            model_name='style',
            name='current',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='shoots.styleversion'),
        ),
        migrations.CreateModel(
            name='Headshot',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('index', models.PositiveSmallIntegerField()),
                ('seed', models.PositiveIntegerField()),
                ('framing', models.CharField(default='classic', max_length=16)),
                ('light', models.CharField(default='key', max_length=8)),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('rendering', 'Rendering'), ('done', 'Done'), ('rejected', 'Rejected')], default='pending', max_length=9)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('lease_token', models.UUIDField(blank=True, editable=False, null=True)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('lease_holder', models.CharField(blank=True, editable=False, max_length=255)),
                ('likeness', models.FloatField(blank=True, null=True)),
                ('quality', models.FloatField(blank=True, null=True)),
                ('perceptual_hash', models.CharField(blank=True, editable=False, max_length=120)),
                ('renders', models.PositiveSmallIntegerField(default=0)),
                ('replaced', models.BooleanField(default=False)),
                ('reasons', models.JSONField(blank=True, default=list)),
                ('done_at', models.DateTimeField(blank=True, null=True)),
                ('blob', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='vault.blob')),
                ('profile_blob', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='vault.blob')),
                ('web_blob', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='vault.blob')),
                ('pack', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='headshots', to='shoots.pack')),
                ('style', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shoots.style')),
                ('version', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='shoots.styleversion')),
            ],
            options={
                'ordering': ['index'],
            },
        ),
        migrations.CreateModel(
            name='GateCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('outcome', models.CharField(max_length=32)),
                ('count', models.PositiveIntegerField(default=0)),
                ('pack', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='gate_counts', to='shoots.pack')),
            ],
            options={
                'ordering': ['outcome'],
                'constraints': [models.UniqueConstraint(fields=('pack', 'outcome'), name='one_gate_count_per_outcome')],
            },
        ),
        migrations.CreateModel(
            name='FaceCrop',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('index', models.PositiveSmallIntegerField()),
                ('blob', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='vault.blob')),
                ('photo', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='face_crops', to='shoots.photo')),
            ],
            options={
                'ordering': ['index'],
                'constraints': [models.UniqueConstraint(fields=('photo', 'index'), name='face_crop_index_unique')],
            },
        ),
        migrations.AddIndex(
            model_name='shoot',
            index=models.Index(fields=['state', 'delete_after'], name='shoots_shoo_state_d24680_idx'),
        ),
        migrations.AddIndex(
            model_name='shoot',
            index=models.Index(fields=['state', 'keyring_epoch'], name='shoots_shoo_state_99a979_idx'),
        ),
        migrations.AddIndex(
            model_name='shoot',
            index=models.Index(fields=['owner', '-created_at'], name='shoots_shoo_owner_i_52bb7c_idx'),
        ),
        migrations.AddIndex(
            model_name='shoot',
            index=models.Index(condition=models.Q(('owner', None), ('purge_everything', False)), fields=['owner', 'delete_after'], name='ownerless_shoot_by_time'),
        ),
        migrations.AddConstraint(
            model_name='shoot',
            constraint=models.UniqueConstraint(fields=('owner', 'submission'), name='one_shoot_per_submission'),
        ),
        migrations.AddConstraint(
            model_name='photo',
            constraint=models.UniqueConstraint(fields=('shoot', 'position'), name='photo_position_unique'),
        ),
        migrations.AddIndex(
            model_name='pack',
            index=models.Index(fields=['state', 'queued_at'], name='shoots_pack_state_c8822a_idx'),
        ),
        migrations.AddIndex(
            model_name='pack',
            index=models.Index(fields=['state', 'expires_at'], name='shoots_pack_state_58bd3c_idx'),
        ),
        migrations.AddIndex(
            model_name='pack',
            index=models.Index(fields=['state', 'delivered_at'], name='shoots_pack_state_163cf5_idx'),
        ),
        migrations.AddIndex(
            model_name='pack',
            index=models.Index(fields=['kind', 'state'], name='pack_by_kind_and_state'),
        ),
        migrations.AddConstraint(
            model_name='pack',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'preview')), fields=('shoot',), name='one_preview_pack_per_shoot'),
        ),
        migrations.AddConstraint(
            model_name='pack',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'premium'), ('state__in', ['awaiting_payment', 'queued', 'rendering'])), fields=('shoot',), name='one_live_premium_pack_per_shoot'),
        ),
        migrations.AddConstraint(
            model_name='styleversion',
            constraint=models.UniqueConstraint(fields=('style', 'number'), name='one_version_per_number'),
        ),
        migrations.AddIndex(
            model_name='headshot',
            index=models.Index(fields=['state', 'lease_until'], name='shoots_head_state_632cf4_idx'),
        ),
        migrations.AddConstraint(
            model_name='headshot',
            constraint=models.UniqueConstraint(fields=('pack', 'index'), name='headshot_index_unique'),
        ),
    ]
