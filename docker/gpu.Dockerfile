# Experimental: linted with hadolint, but not built yet (see the project status in README.md).
#
# The image of the render worker for machines with an NVIDIA GPU. It has the code, user, folders and heartbeat of the
# web image, the packages of the InstantID engine, and torch. torch brings the CUDA libraries as wheels, so no CUDA base
# image is needed. Compiled code is stored in a volume at /compiled for the next start. A tmpfs does not work there,
# because code on it cannot be executed. The weights (12 GB, with their own licenses) are not in the image. They are stored
# in a volume at /weights. Fill it once:
#   docker run --rm -it -v weights:/weights --user 0 headshots-gpu python -m pipeline weights fetch studio instantid --weights /weights
# From the repository's root: docker build -f docker/gpu.Dockerfile -t headshots-gpu .

FROM python:3.11-slim-bookworm AS environment

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY docker/requirements-gpu.lock /tmp/requirements-gpu.lock
# torch is installed first and alone, so that no other package chooses its build. The lock file includes the packages of
# the web image.
RUN /opt/venv/bin/pip install torch==2.13.0 \
    && /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/requirements-gpu.lock

FROM python:3.11-slim-bookworm

# The optimization `compile` needs a C++ compiler at run time. Its version is that of the base image's Debian release.
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
    CUDA_DEVICE_ORDER=PCI_BUS_ID \
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
