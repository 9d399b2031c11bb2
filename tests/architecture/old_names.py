"""Private words that were replaced by standard names before the first release: expression, then the new name.

Each is searched in code, templates, settings, metrics and URLs; prose is left out (test_names.py)."""

OLD_NAMES = {
    # The admin, its audit log, statistics and monitoring.
    r"\bLamp\b": "HealthCheck",
    r"\bLight\.(GREEN|YELLOW|RED)\b": "Health.OK / WARNING / CRITICAL",
    r"\b(beat|broker|worker|retention|oldest_photo|queue|trouble|lost|disk|pause)_lamps?\b": "check_…",
    r"\ball_lamps\b|\blamps\.js\b|\b_lamps\.html\b|\bdata-(lamp|lamps-url|light)\b": "health.js, _health_checks.html",
    r"\bdashboard\.lamps\b|\badmin:lamps\b|/admin/lamps/": "monitoring.health, admin:health, /admin/health/",
    r"\b(DISK|QUEUE)_(YELLOW|RED)\b": "…_WARNING, …_CRITICAL",
    r"\btroubled_packs\b|\blost_packs\b|\bin_trouble\b|\bin-trouble\b": "retrying_packs, packs_failed_by_fault",
    r"\b[Dd]eeds?\b": "AuditLogEntry, entry",
    r"\bDeedAdmin\b|\bview_deed\b|\bdashboard_deed\w*|\bdashboard/deed\b": (
        "AuditLogAdmin, view_auditlogentry, dashboard_auditlogentry"
    ),
    r"\bNotPossible\b": "ActionUnavailable",
    r"\braise Changed\b|\bexcept Changed\b|\bimport .*\bChanged\b": "StaleTargetError",
    r"\bwhy_not\b|\b_why_no_\w+": "blocked_reason, _…_blocked_reason",
    r"\bway_back\b|\bway-back\b": "undo_note",
    r"\bthing_id\b|\bTHINGS\b": "target_id, TARGETS",
    r"\baudit_log_of\b": "audit_log_url",
    r"\badmin:(act|about|csv)\b|/admin/(do|about|figures)/": "admin:action, admin:target, admin:table_csv",
    r"\b_told_again\b|\b_tell_changes\b": "_repeated_message, _log_changes",
    r"\blook[-_]at[-_]headshots\b": "view-headshots, view_gallery",
    r"\bsupport_looked\b|\blooks_so_far\b|\b(support_)?may_look\b|\bhas_something_to_see\b": (
        "support_viewed, view_log, may_view"
    ),
    r"\bLEAVE\b|\bLOOKED\b|\bshoot_with_leave\b|\b_shoot_for_lookers\b|\bhas_said_why\b": "ACCESS_DURATION, VIEWED",
    r"\bOFFICE\b|\b_is_office\b|\bbrand-room\b|\bHeadshots office\b": "ADMIN_PREFIX, _is_admin, brand-area",
    r"\b[Pp]urses?\b": "RevenueTotals",
    r"\bDayFigures\b|\bfigures_of\b|\bnumbers_of\b|\b(view|may_see)_figures\b"
    r"|\bslow_figures\w*": ("DayCounts, load_daily_stats"),
    r"\bdashboard\.(figures|counting|now|page|money)\b": (
        "stats.daily_stats, aggregation, live_stats; views; stats.revenue"
    ),
    r"\bclose_days\b|\bcarry_over\b|\bcarry_visits_over\b|\bCountVisits\b": "aggregate_days, flush_counters",
    r"\bbroken_rules\b": "failed_checks",
    r"\brun_packs\b|charts/people\.svg": "manage_packs, charts/activity.svg",
    r"\bheadshots_oldest_private_age_seconds\b": "headshots_oldest_data_age_seconds",
    r"\bheadshots_oldest_private_limit_seconds\b": "headshots_data_age_limit_seconds",
    r"\bheadshots_private_place_answers\b": "headshots_store_up",
    r"\bheadshots_broker_answers\b": "headshots_broker_up",
    r"\bheadshots_since_purge_seconds\b": "headshots_last_purge_age_seconds",
    r"\bheadshots_purge_late\b": "headshots_purge_overdue",
    r"\bheadshots_packs_in_trouble\b": "headshots_packs_retrying",
    r"\bheadshots_packs_lost\b": "headshots_packs_failed_recently",
    r"\bheadshots_files_spoiled(_total)?\b": "headshots_corrupt_files_total",
    r"\bHeadshots(PrivateThingTooOld|PhotoNearItsLimit|PrivatePlaceSilent"
    r"|PurgeLate|BeatDead|BrokerAway|QueueOld|QueueLong|PackInTrouble"
    r"|PaidPackLost|FreePackLost|PacksFail|FilesSpoiled|GateRejects)\b": ("see docker/monitoring/alerts.yml"),
    # Shoots, the vault, retention and data rights.
    r"\bstray_keys\b|\bsweep_stray_keys\b|\bStrays\b|\b_strays\b": "orphaned_keys, sweep_orphaned_keys, OrphanedKeys",
    r"\bwake_stuck\b": "requeue_stalled",
    r"\bwake_waiting\b": "enqueue_waiting",
    r"\b_stuck_packs\b": "_stalled_packs",
    r"\bshoots\.waking\b|\bshoots/waking\b|\bshoots\.retrying\b": "shoots.packs.recovery",
    r"(?<![A-Za-z])setbacks\b|\b(MOST|MAX)_SETBACKS\b|\b(most|max)_setbacks\b": (
        "consecutive_failures, MAX_CONSECUTIVE_FAILURES"
    ),
    r"(?<![A-Za-z_])set_back(?![A-Za-z_])": "record_failure (event: run_failed)",
    r"\brests_until\b": "retry_at",
    r"\bis_resting\b": "is_awaiting_retry",
    r"""\bpack\.rests\b|\bdef rests\b|[\"']rests[\"']""": "awaiting_retry",
    r"\bRESTS\b": "RETRY_DELAYS",
    r"\bput_back\b": "return_to_queue (event: returned_to_queue)",
    r"""\badd_spoiled\b|\bfiles_spoiled\b|\.spoiled\b|[\"']spoiled[\"']""": "add_corrupt, files_corrupt, corrupt",
    r"\bretention\.receipts?\b|\bretention\.(view|change)_receipt\b"
    r"|\bretention_receipt_\w+": ("retention.certificates, deletioncertificate"),
    r"/retention/receipts?/|\bretention/(_receipt_link|receipts?)\.html"
    r"""|\bretention/mail/receipt\.txt|[\"']receipts/<uuid""": ("certificates/"),
    r"\bretention:receipt\b|\bretention:shoot_receipts\b": "retention:certificate, retention:shoot_certificates",
    r"\bReceiptAdmin\b|\bmail_receipts?\b|\bmail_waiting_receipts\b"
    r"|\bissue_receipts\b|\b(begin|fill)_account_receipt\b": ("...certificate(s)"),
    r"\breceipt_id\b|\bresend-receipt\b|\bload_receipt\b|\breceipt_mail\b"
    r"|\bowner\.receipts\b": ("certificate_id, resend-certificate, ..."),
    r"(?<!Key)\bDestruction\b|_DestructionInline\b|\.destructions\b": "KeyDestruction, key_destructions",
    r"\bshoots\.settle\b|\b(checks|photo_checks)\.settle\b": "resolve_identity",
    r"\blooks_so_far\b|\bmay_look\b|\bsupport_(may|could)_look\b|\bshoot\.support_looked\b"
    r"|\blook-at-headshots\b": ("view_log, may_view, support_viewed, view-headshots"),
    r"(?<![A-Za-z])ring_mark\b|\bsource_ring_mark\b|\bunmarked_shoots\b": (
        "keyring_epoch, source_keyring_epoch, shoots_of_other_epochs"
    ),
    r"(?<!pytest)\.mark\(\)": ".epoch()",
    r"\bHAD_PICTURES\b|\bhad_pictures\b": "USED_AFTER_DELIVERY, used_after_delivery",
    r"(?<![A-Za-z_])was_had(?![A-Za-z_])": "is_consumed",
    r"\bempty_journals\b|\btruncate_journal\b|\bretention\.journal\b": (
        "checkpoint_journals, checkpoint_wal, retention.wal"
    ),
    r"""\bheadshots[./]rights\b|[\"']rights:|[\"']rights\.\w|[\"']rights/\w+\.html"""
    r"|\bRightsConfig\b|app_name = \"rights\"|label = \"rights\"": ("data_rights"),
    r"\bGathered\b|\bdata_rights\.(gathering|exporting)\b": "ExportContents, data_rights.export",
    r"\bPersonForm\b|\b(read|write)_person\b|\bperson_blob\b|\b_person_form\b"
    r"|\bNOTHING_SAID\b|\bfind_person\b": (
        "SelfDescriptionForm, read_self_description, self_description_blob, NO_SELF_DESCRIPTION, identify_person"
    ),
    r"\bshoots\.(people|person)\b": "shoots.uploads.identity, shoots.self_description",
    r"""\b(MOST|MAX)_TAKES\b|[\"']takes[\"']|\btakes=|\brow\.takes\b""": "MAX_RENDERS, renders",
    r"""\bFORGOTTEN\b|[\"']forgotten[\"']|\bpack\.forgotten\b""": "DELETED, deleted",
    r"\b_?forget_(packs?|removed_keys|history|who_has_gone)\b|\blifecycle\.forget\b": (
        "delete_pack(s), delete_key_history, mark_deleted, ..."
    ),
    r"\bSwept\b|\bReplayed\b|\bclass Purged\b|\bPurged\(|-> Purged\b"
    r"|\b_Took\b": ("SweepResult, ReplayResult, PurgeResult, _Timing"),
    r"\bpack\.(set_back|gated|shot|spoiled|put_back)\b": (
        "pack.run_failed, .quality_checked, .rendered, .files_corrupt, .returned_to_queue"
    ),
    r"\brefund_asked\b": "refund_requested",
    r"\bdrop_(proofs|payments|old)\b|\b_drop_(shoot|account)\b": (
        "delete_expired_certificates, delete_expired_payments, delete_old_files, _delete_..."
    ),
    r"\berase_file\b": "overwrite_and_delete",
    r"\b(begin|finish)_leaving\b|\bleaving_at\b": "begin/finish_account_deletion, deletion_requested_at",
    r"\bkeys_died\b|\bkey_died_at\b|\ba_key_dies_once\b|\bwho_asked\b"
    r"|\basked_by\b|\b_?proof_until\b": (
        "record_key_destructions, destroyed_at, requesters_of, requested_by, keep_until"
    ),
    r"\b(photos|headshots|payment|proof|backup|key_backup|mail|sign_in)_life\b"
    r"|\bMAIL_LIFE\b|\bLEAST_LIFE\b|\bmax_life\b": ("..._retention, session_lifetime, max_lifetime"),
    r"\bsince_purge_seconds\b|\bpurge_is_late\b": "last_purge_age_seconds, purge_is_overdue",
    r"\bin_hand\b(?! is)": "has_active_lease",
    r"\bKeepGoing\b|\bkeep_going\b|\bgo_on_after_a_crash\b|\bmake_again\b"
    r"|\bbest_first_of\b": ("LeaseRenewer, renew_leases, resume_after_crash, reset_for_retry, sort_for_display"),
    r"\bKeyPlace\b|\bdescribe_place\b|\b_?why_unsafe\w*|\b_look_at_server\b"
    r"|\b_LOOK_AGAIN_SECONDS\b": ("KeyStore, describe_location, unsafe_reason..., _check_server, _RECHECK_SECONDS"),
    r"\bhas_pictures\b|\bpacks_to_show\b|\bhas_something_to_see\b|\bLookRefused\b"
    r"|\bmade_by\b|\bmade_from\b": (
        "has_finished_headshots, visible_packs, has_viewable_headshots, LookImportError, created_by, based_on"
    ),
    r"\bPause\.What\b|\bdeletions\.What\b|\bunowned\b|\bdue_guests\b"
    r"|\bpurge_first\b": ("Pause.Part, DeletionKind, orphaned_blobs, due_ownerless_shoots, purge_on_start"),
    # Payments, launch, runtime, web, accounts and settings.
    r"\b(Heart|HeartFile|heart_file|_hearts)\b|\bheart\.(?=[a-z_])|\bimport heart\b"
    r"|\bheart: ": ("heartbeat, Heartbeat, HeartbeatFile"),
    r"\.heart\b": ".heartbeat",
    r"\b(when_it_starts|begin_loading|_main_loop_came_round|_touch_while_beating)\b": (
        "on_start, start_loading_models, ..."
    ),
    r"\bheartbeat\.progress\(|\bheartbeat\.listen\(": "heartbeat.record_progress, heartbeat.connect_signals",
    r"\blooking_after\b|\blook_after\b": "reconciliation, reconcile; launch: supervise",
    r"\bpayments[./]settling\b|\b_settle\b(?=\(payment)": "payment_state, _derive_state",
    r"\bpayments[./]turns\b|\bin_turn\b": "sqlite_write_queue, queued_transaction",
    r"\bpayments[./]clock\b": "deadlines",
    r"\bpayments[./]words\b|\bclass Words\b": "product_copy, ProductCopy",
    r"\bbury\b|\bKnock\b|\bgave_sign\b": "cleanup, SocketProbe, is_alive",
    r"\b_?(patience_seconds|self\.patience|PATIENCE(_SECONDS|_MS)?|MAIL_PATIENCE"
    r"|no_patience)\b": ("timeout_seconds, TIMEOUT_..."),
    r"\b_?(MOST|SHORTEST|LONGEST|FEWEST|LEAST|HIGHEST|LARGEST|SMALLEST(?!_COINS))(_[A-Z_]+)?\b": "MAX_..., MIN_...",
    r"(?<![\w.])(_tell|tell|tell_counts|tell_everything|_tell_progress)\(": (
        "echo, record_..., send_event, _send_webhook"
    ),
    r"\b(days_in_words|size_in_words)\b": "humanize_days, humanize_size",
    r"\bin_words\(": "humanize_duration",
    r"\bclass (Returned|Returns)\b|\breturns=Returns\(": "RefundSummary, CheckoutUrls",
    r"\bstripe\.objects import .*(?<!Checkout)Session\b": "CheckoutSession",
    r"\bHEADSHOTS_(HEART|HANG|LOAD)_SECONDS\b": "HEADSHOTS_HEARTBEAT_TIMEOUT, _TASK_STALL_TIMEOUT, _MODEL_LOAD_TIMEOUT",
    r"\bHEADSHOTS_(SOURCE|RESULT)_RING_\w+": "HEADSHOTS_PHOTO_KEYS_..., HEADSHOTS_HEADSHOT_KEYS_...",
    r"\b(HEADSHOTS_)?SOURCE_TTL_SECONDS\b|\bsource_ttl_seconds\b": "HEADSHOTS_PHOTO_TTL_SECONDS",
    r"\bHEADSHOTS_RESULT_(DAYS|KEY_BACKUP_DAYS)\b|\bresult_days\b": (
        "HEADSHOTS_HEADSHOT_RETENTION_DAYS, HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS"
    ),
    r"\bHEADSHOTS_(PROOF|PAYMENT)_DAYS\b": "HEADSHOTS_DELETION_RECORD_DAYS, HEADSHOTS_PAYMENT_RETENTION_DAYS",
    r"\bHEADSHOTS_RESHOOT_SHARE\b": "HEADSHOTS_GATE_ACCEPTANCE",
    r"\bHEADSHOTS_PROCESSORS\b": "HEADSHOTS_DATA_PROCESSORS",
    r"\bHEADSHOTS_(LICENCE_STATEMENT|WEIGHTS_CATALOGUE)\b": "HEADSHOTS_LICENSE_STATEMENT, HEADSHOTS_WEIGHTS_CATALOG",
    r"\bHEADSHOTS_(WEB_CONNECTIONS|WEB_WAIT_SECONDS|HEAD_SECONDS|BODY_SECONDS"
    r"|BODY_BYTES_PER_SECOND|STREAMS|DECODES_AT_ONCE|VERIFY_AT_ONCE)": ("HEADSHOTS_MAX_CONNECTIONS, ..."),
    r"\b(asked_at|came_back|goes_back|UNDER_WAY)\b": (
        "last_stripe_call_at, return_reason, auto_refund_at, ACCEPTED_STATES"
    ),
    r"\bMail\.(BOUGHT|WAITING)\b": "Mail.PURCHASED, Mail.AVAILABLE",
    r"\b(StripeAway|stripe_away|has_a_pack)\b": "StripeUnavailable, stripe_unavailable, has_open_credit",
    r"\b(as_money|money_from|digits_of|read_price|price_of|require_sale"
    r"|is_sold|payments_are_a_test)\b": ("format_money, ..."),
    r"\b(give_back_credit|ask_redo|redo_is_possible|pack_to_redo|close_account)\b": (
        "return_credit, request_redo, can_redo, ..."
    ),
    r"\b(receipts_of|payment_behind|ask_stripe|waiting_payment|looks_of"
    r"|orders_so_far|checkout_closes|is_time_left|may_be_used)\b": ("build_receipts, ..."),
    r"\b(apply|create|fetch|expire|read)_session\b(?<!_create_session)": "..._checkout_session",
    r"\btest_strip\b|\btest-strip\b": "test_banner, test-banner",
    r"payments/_(became|what|use|promise|pack_money)\.html": (
        "_outcome, _pack_contents, _use_credit, _guarantees, _pack_receipt"
    ),
    r"(?<![\w.])say\(": "echo",
    r"\b(was_well|deaths_in_a_row|silence_was_ours|how_it_ended|bring_up"
    r"|take_port)\b": ("has_been_alive, consecutive_exits, ..."),
    r"\b(only_what_is_safe|_keep_our_log|_send_along|about_arguments)\b": (
        "scrub_event, _configure_logging, _add_request_id, bind_arguments"
    ),
    r"\b(OneHop|AnswerRefusedBodies|RedirectReaders|OwnErrorPages|SilentReporter"
    r"|RequestIds|PrivacyHeaders)\b": ("...Middleware, ThreadPoolASGIHandler"),
    r"\bweb[./](addresses|refusals)\b": "web.client_address, web.unavailable",
    r"\baccounts[./]addresses\b(?!/)": "accounts.email_addresses",
    r"\b(MailFiles|OwnedAdmin|ForgetfulLogout|PasswordFromMail|leaving_at)\b": (
        "PrivateFileEmailBackend, AccountListAdmin, ..."
    ),
    r"\bassert isinstance\((request\.user|owner), User\)": "current_user(request)",
    # The pipeline.
    r"\bSitter\b|\bsitters?\b|\bsittings?\b|\bsitting_of\b|\bkeeps_sitters\b": (
        "PreparedSubject, get_prepared_subject, should_share"
    ),
    r"(?<!gc\.)\bfreeze(?=\(|_portraits)|\bthaw(?=\(|_portraits)|\bthawed\b": "serialize, deserialize",
    r"\bdrop_kept\b": "delete_prepared_subject",
    r"\bworth_keeping\b|\bKeepsSubjects\b": "is_expensive_to_prepare, SubjectSerializer",
    r"\bstudio\.keeping\b": "serialization",
    r"\bfetching\.settle\b|\bfetching import [^\n]*\bsettle\b": "install_file",
    r"\b[Dd]arkroom\b|\bDeveloped\b|\bdevelop_one\b|\bdevelop\(": "PostProcessor, ProcessedPicture, process",
    r"\b_?is_twin\b": "is_near_duplicate",
    r"(?<![A-Za-z])[Tt]ricks?(?![A-Za-z])|TRICKS?(?![A-Za-z])": (
        "Optimization, --optimization, HEADSHOTS_INSTANTID_OPTIMIZATIONS"
    ),
    r"\bfaces\.points\b|\bfrom pipeline\.faces import points\b": "landmarks",
    r"\beight_bit\.py\b|instantid\.eight_bit|EightBitLinear|replace_linears": (
        "quantization, QuantizedLinear, quantize_linears"
    ),
    r"instantid\.(work|speed|inspect|text)\b": "flops, optimizations, diagnostics, text_encoders",
    r"\bcount_work\b": "count_flops",
    r"studio\.(fine|setups)\b|\bclass Fine\b": "upscaled, framing",
    r"\bMarks\b|\bread_marks(_apart)?\b|\bmark_reader\b|\bmarks\.says\b": (
        "Provenance, read_provenance, provenance_reader"
    ),
    r"\bclass (Finished|Developed)\b|\bengine\.Finished\b": "RenderResult, ProcessedPicture",
    r"\bengine\.(Person|Style)\b": "SelfDescription, StyleSpec",
    r"\bset_standard\b|\bclass Standard\b": "build_gate_reference, GateReference",
    r"\bfewest_(styles|looks)\b": "min_styles, min_style_count",
    r"\bdraws_new_pictures\b|\bDRAWING\b": "uses_generative_engine, GENERATIVE_ENGINES",
    r"\bwho_is_who\b|\btips_beside\b": "group_faces, additional_tips",
    r"\bWRONG_CALL\b|\bNOBODY_LISTENS\b": "USAGE_ERROR, BROKEN_PIPE",
    r"\bburnt_share\b|\bBURNT_\w+": "overexposed_share, OVEREXPOSED_*",
    r"\bFinishedFiles\b|\bfinish_behind\b|\bgive_up_rights\b|\brun_apart\b"
    r"|\bhushed\b": ("HeadshotFiles, map_in_background, drop_privileges, run_isolated, suppress_stderr"),
    r"\bhold_in_band(_of)?\b|\bfill_hull\b|\bedge_keeping_blur\b|\bguide_lines\b"
    r"|\bcalm_cloth\b": (
        "clamp_lightness, fill_convex_hull, bilateral_filter, guided_filter_lines, reduce_cloth_texture"
    ),
    r"\bengine\.(stand_in|move|freeze|thaw|is_twin|draws|read_marks)\b": (
        "choose_replacement, reframe, serialize, deserialize, is_near_duplicate, is_generative, read_provenance"
    ),
    r"[A-Za-z_]*(?i:colour)[A-Za-z_]*(?=\s*[=(.:\[])": "color",
    r"(?i:catalogue)(?=[s_]?\w*\s*[=(.:\[])|_CATALOGUE\b|--catalogue\b": "catalog",
    r"LicenceError|LicencePolicy|HEADSHOTS_LICENCE_STATEMENT|(?m:^licence = )|\.licences?\b|model_licence": "license",
    r"\b\w*(NEIGHBOURHOOD|REGULARISATION|RECOGNISER|GREY|JUDGEMENT)\w*\b"
    r"|\bJudgement\b|\bto_grey\b|\beye_centres\b": ("American spelling"),
    r"\bCANCELLED\b|\"cancelled\"|(?<=pack\.)cancelled\b|engine\.Cancelled\b": "canceled",
}
