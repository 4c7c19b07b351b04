# The consumer, its commands and the simulator in one image. No weights are inside but the starter bundle, which is for
# the demo only: `sluice models fetch` brings the real ones to /models, or mount them there.
#
#   docker build -t sluice .                    with CUDA, which comes with torch, 5.7 GB; the driver is the host's
#   docker build -t sluice --target cpu --build-arg TORCH_INDEX=<PyTorch's CPU wheel index> .
#                                               without, 1.6 GB; PyTorch's install page names the index

# The Python that the tests run with. A tag can be moved, a digest cannot; without one the build takes what the tag names
# now. To build on the same base again, give --build-arg PYTHON_DIGEST=sha256:..., which this prints:
#   docker buildx imagetools inspect python:3.11.14-slim-bookworm --format '{{.Manifest.Digest}}'
ARG PYTHON=3.11.14-slim-bookworm
ARG PYTHON_DIGEST=

FROM python:${PYTHON}${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS wheels
COPY requirements/build.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --only-binary :all: --require-hashes --requirement /requirements/build.txt
COPY . /src
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /src/schemas /src/producer_sim /src

FROM python:${PYTHON}${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS cpu
# As process 1 Python would ignore a SIGTERM that comes before it listens, and never bury what a dead decoder leaves.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini=0.19.0-1* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --user-group --home-dir /var/lib/sluice --shell /usr/sbin/nologin sluice \
    && install --directory --owner sluice --group sluice /models /var/lib/sluice
COPY constraints.txt requirements/run.txt requirements/torch.txt requirements/gpu.txt /opt/sluice/
# What is heavy and seldom changes is a layer of its own, below what changes with every commit.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --only-binary :all: --require-hashes --requirement /opt/sluice/run.txt
ARG TORCH_INDEX=
# The hashes are those of the package index; another index has builds of its own, and gives nothing but torch and its own.
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -z "$TORCH_INDEX" ]; \
    then pip install --no-deps --only-binary :all: --require-hashes --requirement /opt/sluice/torch.txt; \
    else pip install --constraint /opt/sluice/constraints.txt --index-url "$TORCH_INDEX" torch; fi
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps /wheels/*.whl && pip check
# The port is given here because the health check asks it; it answers on loopback alone unless told otherwise.
ENV HF_HOME=/models \
    SLUICE_TELEMETRY__HTTP_PORT=9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9464/livez', timeout=4)"]
EXPOSE 9464
WORKDIR /var/lib/sluice
USER 65532:65532
ENTRYPOINT ["tini", "--", "sluice"]
CMD ["run"]

FROM cpu AS cuda
USER 0:0
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --only-binary :all: --require-hashes --requirement /opt/sluice/gpu.txt && pip check
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
