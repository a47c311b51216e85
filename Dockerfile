# Two images from one file: `api` without torch, `worker` with it. BASE is any Python 3.11 image with pip.
ARG BASE=python:3.11-slim
FROM ${BASE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 lengthwise
WORKDIR /src
# What is installed changes seldom: it comes before the code, so that a change of code builds in seconds.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > /tmp/requirements.txt && pip install -r /tmp/requirements.txt && rm /tmp/requirements.txt

FROM base AS api
COPY . .
RUN pip install --no-deps .
USER lengthwise
WORKDIR /home/lengthwise
EXPOSE 8000
CMD ["lengthwise", "api", "--host", "0.0.0.0"]

FROM base AS worker
# The engine compiles its kernels when it starts, for the processor that it finds; without a compiler it is slower.
RUN command -v cc || (apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev libgomp1 \
    && rm -rf /var/lib/apt/lists/*) || echo "no compiler to be had: the engine will run on torch's kernels"
# An index of CPU builds, or of another CUDA's, where the default's is not wanted.
ARG TORCH_INDEX_URL=
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['worker'], sep='\n')" \
    > /tmp/requirements.txt \
    && pip install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt
COPY . .
RUN pip install --no-deps .
USER lengthwise
WORKDIR /home/lengthwise
# Theirs, not root's, when a volume is mounted there.
RUN mkdir -p .cache/huggingface
CMD ["lengthwise", "worker", "--queues", "generate"]
