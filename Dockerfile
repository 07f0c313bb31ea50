# syntax=docker/dockerfile:1
# One image per service: docker build --build-arg SERVICE=accounts -t marketplace/accounts .
# SERVICE is the folder below services/. The image runs the API, the worker and the migrations; the command decides.
# Debian, not Alpine: aiokafka has no musl wheel.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-trixie AS packages
ARG SERVICE
WORKDIR /build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_CACHE=1
COPY bootstrap.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r bootstrap.lock
COPY requirements.lock ./
COPY deploy/docker/direct_requirements.py ./
COPY libs/common/pyproject.toml libs/common/
COPY services/${SERVICE}/pyproject.toml services/${SERVICE}/
# What the member names comes with its hashes; what that needs in turn is held to the lock by the constraints, hashes
# included. Anything not in the lock stops the build.
RUN python direct_requirements.py . "${SERVICE}" > direct.txt \
 && uv venv /app/venv \
 && uv pip install --python /app/venv/bin/python --require-hashes -r direct.txt -c requirements.lock

# Metering's compiled reader (services/metering/native). Without it Python would read, at some five times the cost.
FROM python:${PYTHON}-slim-trixie AS native
ARG SERVICE
WORKDIR /build
RUN mkdir /native \
 && if [ "${SERVICE}" = metering ]; then \
      apt-get update && apt-get install -y --no-install-recommends cargo && rm -rf /var/lib/apt/lists/*; \
    fi
COPY services/metering/native/ ./
RUN if [ "${SERVICE}" = metering ]; then \
      cargo build --release --offline \
   && mkdir -p /native/metering/clients \
   && cp target/release/libmetering_reader.so /native/metering/clients/metering_reader.so; \
    fi

FROM packages AS code
ARG SERVICE
COPY libs/common/src/ /app/lib/
COPY services/${SERVICE}/src/ /app/lib/
COPY services/${SERVICE}/alembic.ini /app/services/${SERVICE}/
COPY services/${SERVICE}/migrations/ /app/services/${SERVICE}/migrations/
COPY gateway/ /app/gateway/
COPY --from=native /native/ /app/lib/
RUN /app/venv/bin/python -m compileall -q /app/lib

FROM python:${PYTHON}-slim-trixie
ARG SERVICE
LABEL org.opencontainers.image.title="marketplace-${SERVICE}" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin marketplace
COPY --from=code /app /app
ENV PATH=/app/venv/bin:$PATH PYTHONPATH=/app/lib PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
STOPSIGNAL SIGTERM
