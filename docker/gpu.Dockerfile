# Not yet built: there was no container engine where this was written. It is linted (hadolint), nothing more is shown.
#
# The render worker for machines with an NVIDIA GPU: the web image's code, user, folders and heartbeat, torch with the CUDA
# libraries that it brings as wheels (no CUDA base image is needed), and the packages of the InstantID engine. What torch
# compiles lies in a volume at /compiled, for the next start (a tmpfs will not do: code on it may not run). Its
# weights, 12 GB under terms of their own, are not in the image: they lie in a volume at /weights, filled once by
#   docker run --rm -it -v weights:/weights --user 0 headshots-gpu python -m pipeline weights fetch studio instantid --weights /weights
# From the repository's root: docker build -f docker/gpu.Dockerfile -t headshots-gpu .

FROM python:3.11-slim-bookworm AS environment

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY docker/requirements-gpu.lock /tmp/requirements-gpu.lock
# torch first and by itself: nothing may choose another build of it. The lock holds the product's own packages too.
RUN /opt/venv/bin/pip install torch==2.13.0 \
    && /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/requirements-gpu.lock

FROM python:3.11-slim-bookworm

# torch compiles the networks where they run (the trick `compile`), which takes a C compiler. Debian's own version of it,
# which the base image decides.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

RUN groupadd --gid 10001 headshots \
    && useradd --uid 10001 --gid headshots --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin headshots \
    && install -d -o headshots -g headshots -m 0700 /data /keys/photos /keys/headshots /deletions /run/headshots /compiled

COPY --from=environment /opt/venv /opt/venv
WORKDIR /srv/headshots
COPY manage.py ./
COPY pipeline pipeline
COPY headshots headshots
COPY templates templates

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=headshots.settings \
    HEADSHOTS_DATA_DIR=/data \
    HEADSHOTS_RUN_DIR=/run/headshots \
    HEADSHOTS_PHOTO_KEYS_DIR=/keys/photos \
    HEADSHOTS_HEADSHOT_KEYS_DIR=/keys/headshots \
    HEADSHOTS_DELETIONS_DIR=/deletions \
    HEADSHOTS_WEIGHTS_DIR=/weights \
    HEADSHOTS_ENGINE=instantid \
    TORCHINDUCTOR_CACHE_DIR=/compiled \
    TRITON_CACHE_DIR=/compiled/triton \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

RUN python -m compileall -q headshots pipeline

USER 10001:10001
CMD ["celery", "-q", "-A", "headshots", "worker", "--pool", "solo", "-Q", "render", "-n", "render@%h", "-l", "INFO", "--without-gossip", "--without-mingle"]
