# The image of the service, its workers and the command line.
#
#   docker build --tag layerproof:0.1.0 .
#   docker run --read-only --tmpfs /tmp --volume layerproof:/var/lib/layerproof \
#     --publish 127.0.0.1:8686:8686 layerproof:0.1.0
#
# Tags move. To build on one base and no other, name it by its digest:
#
#   docker build --build-arg PYTHON_IMAGE=docker.io/library/python:3.12-slim@sha256:… .
#
# Everything from PyPI is checked against the hashes of the lock files.
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim

# --- the wheel, and an environment that holds it with what it needs ---

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The native part (docs/adr/0008) wants a compiler, and the C library that it is to run on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# Dependencies first: they change less often than the program. What builds has an environment of its
# own: it is in nobody's way, neither the product's nor the base's.
COPY requirements-build.lock requirements-service.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock \
    && python -m venv --without-pip /opt/layerproof \
    && /opt/build/bin/pip --python /opt/layerproof/bin/python install \
       --require-hashes --only-binary :all: -r requirements-service.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/build/bin/pip --python /opt/layerproof/bin/python install --no-deps --no-index \
       /wheels/*.whl \
    && /opt/build/bin/pip --python /opt/layerproof/bin/python check
# Volumes take over the owner of the folders that they are put on.
RUN install -d -o 10001 -g 10001 -m 0700 \
    /data /data/layerproof /data/layerproof/advisories /data/layerproof/quarantine

# --- what runs ---

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Layerproof" \
      org.opencontainers.image.description="Keeps container images honest, layer by layer" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/layerproof /opt/layerproof
COPY --from=build --chown=10001:10001 /data/ /var/lib/
COPY deploy/healthcheck.py /opt/layerproof/healthcheck.py
# A user without an entry in /etc/passwd has neither home nor name; audit records want a name. The
# index, the advisories and the quarantine are kept below $XDG_DATA_HOME/layerproof. In a container
# of its own, the loopback address would be reached by nobody: what is published decides.
ENV PATH=/opt/layerproof/bin:$PATH \
    HOME=/var/lib/layerproof \
    LOGNAME=layerproof \
    XDG_DATA_HOME=/var/lib \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LAYERPROOF_LISTEN=0.0.0.0:8686
USER 10001:10001
WORKDIR /var/lib/layerproof
EXPOSE 8686
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/opt/layerproof/healthcheck.py"]
ENTRYPOINT ["layerproof"]
CMD ["serve"]
