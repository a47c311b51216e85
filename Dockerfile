# Two images from one file: `api` without torch, `worker` with it. BASE is any Python 3.11 image with pip.
ARG BASE=python:3.11-slim
FROM ${BASE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 lengthwise
WORKDIR /src
# Dependencies change seldom: a package without code, which has only them, is installed first. So a change of code
# rebuilds an image in seconds.
COPY pyproject.toml ./
RUN mkdir lengthwise api worker migrations && touch README.md LICENSE

FROM base AS api
RUN pip install ".[api]"
COPY . .
RUN pip install --no-deps --force-reinstall .
USER lengthwise
WORKDIR /home/lengthwise
EXPOSE 8000
CMD ["lengthwise", "api", "--host", "0.0.0.0"]

FROM base AS worker
# The engine compiles its kernels when it starts, for the processor that it finds. Without a compiler it is slower.
RUN command -v cc || (apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev libgomp1 \
    && rm -rf /var/lib/apt/lists/*) || echo "no compiler could be installed: the engine will run on torch's kernels"
# An index of CPU builds, or of builds for another CUDA, if the default build is not wanted.
ARG TORCH_INDEX_URL=
RUN pip install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} ".[worker]"
COPY . .
RUN pip install --no-deps --force-reinstall .
USER lengthwise
WORKDIR /home/lengthwise
# A volume mounted here takes the owner of this folder: it must not be root.
RUN mkdir -p .cache/huggingface
CMD ["lengthwise", "worker", "--queues", "generate"]
