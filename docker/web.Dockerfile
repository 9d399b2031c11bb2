# Experimental: linted with hadolint, but not built yet (see the project status in README.md).
#
# The image of every process that needs no GPU: web, the default and retention workers, beat, and the render worker
# with the studio engine. From the repository's root: docker build -f docker/web.Dockerfile -t headshots .

FROM python:3.11-slim-bookworm AS environment

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY docker/requirements.lock /tmp/requirements.lock
RUN /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/requirements.lock

# The image contains the model files, so a container needs no network access to start.
FROM environment AS weights

WORKDIR /srv/headshots
COPY pipeline pipeline
RUN /opt/venv/bin/python -m pipeline weights fetch --weights /opt/weights \
    && chmod -R a+rX /opt/weights


FROM python:3.11-slim-bookworm

# A user without a password, shell or home directory. The processes write only to their volumes.
RUN groupadd --gid 10001 headshots \
    && useradd --uid 10001 --gid headshots --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin headshots \
    && install -d -o headshots -g headshots -m 0700 /data /keys/photos /keys/headshots /deletions /run/headshots

COPY --from=environment /opt/venv /opt/venv
COPY --from=weights /opt/weights /opt/weights
WORKDIR /srv/headshots
COPY manage.py ./
COPY pipeline pipeline
COPY headshots headshots
COPY templates templates
COPY static static

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=headshots.settings \
    HEADSHOTS_DATA_DIR=/data \
    HEADSHOTS_RUN_DIR=/run/headshots \
    HEADSHOTS_PHOTO_KEYS_DIR=/keys/photos \
    HEADSHOTS_HEADSHOT_KEYS_DIR=/keys/headshots \
    HEADSHOTS_DELETIONS_DIR=/deletions \
    HEADSHOTS_STATIC_ROOT=/srv/headshots/staticfiles \
    HEADSHOTS_WEIGHTS_DIR=/opt/weights

# A placeholder key for this command, which signs nothing. The image contains no secret of the operator.
RUN HEADSHOTS_SECRET_KEY=only-to-collect-static-files python manage.py collectstatic --no-input -v0 \
    && python -m compileall -q headshots pipeline

USER 10001:10001
EXPOSE 8000
CMD ["uvicorn", "headshots.asgi:application", "--http", "headshots.web.protocol:LimitedProtocol", "--ws", "none", "--no-proxy-headers", "--no-server-header", "--timeout-graceful-shutdown", "3", "--host", "0.0.0.0", "--port", "8000", "--no-access-log"]
