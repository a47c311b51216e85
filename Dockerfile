# Builds two images: `api` without torch and `worker` with torch. BASE is any image with Python 3.11 and pip.
ARG BASE=python:3.11-slim
FROM ${BASE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 lengthwise
WORKDIR /src
# Install dependencies before copying the code: they rarely change, so a change of code rebuilds in seconds.
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
# At its start the engine compiles its kernels for the machine's processor. Without a compiler it is slower.
RUN command -v cc || (apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev libgomp1 \
    && rm -rf /var/lib/apt/lists/*) || echo "no C compiler could be installed: the engine will use torch's kernels"
# Set this to another package index for torch, such as one with CPU builds or builds for another CUDA version.
ARG TORCH_INDEX_URL=
RUN pip install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} ".[worker]"
COPY . .
RUN pip install --no-deps --force-reinstall .
USER lengthwise
WORKDIR /home/lengthwise
# Create this folder now, so that a volume mounted there belongs to this user and not to root.
RUN mkdir -p .cache/huggingface
CMD ["lengthwise", "worker", "--queues", "generate"]
