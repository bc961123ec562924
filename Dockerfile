# syntax=docker/dockerfile:1
# docker build -t rlhf .                              PyTorch for CPUs
# docker build -t rlhf --build-arg TORCH=cuda .       PyTorch with CUDA (several GB more); run it with --gpus all
# docker run --rm -v "$PWD:/work" rlhf experiment=quickstart
#
# docker run --rm --network host -v "$PWD:/work" rlhf ui      MLflow's pages, on the host's port 5000
#
# Results land in the folder that is mounted at /work, which user 1000 has to be able to write; another: --user "$(id -u):$(id -g)".
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG TORCH=cpu
# what is installed beside the package: lora, optuna, joblib, datasets, with commas
ARG EXTRAS=lora
RUN python -m venv /opt/rlhf
ENV PATH=/opt/rlhf/bin:$PATH PIP_CACHE_DIR=/var/cache/pip
WORKDIR /src
# PyTorch first: a layer that no change of ours makes anew
COPY constraints.txt ./
RUN --mount=type=cache,target=/var/cache/pip \
    case "$TORCH" in \
      cpu) export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu ;; \
      cuda) ;; \
      *) echo "TORCH=$TORCH: expected cpu or cuda" >&2; exit 2 ;; \
    esac; \
    pip install -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY conf conf
COPY rlhf rlhf
RUN --mount=type=cache,target=/var/cache/pip pip install -c constraints.txt ".[$EXTRAS]"

FROM python:${PYTHON}-slim
# git: a run's manifest names the revision of the folder it was started in
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home rlhf \
    && mkdir /work \
    && chown rlhf /work
COPY --from=build /opt/rlhf /opt/rlhf
ENV PATH=/opt/rlhf/bin:$PATH PYTHONUNBUFFERED=1 HOME=/home/rlhf
USER rlhf
WORKDIR /work
VOLUME /work
ENTRYPOINT ["rlhf"]
CMD ["--help"]
