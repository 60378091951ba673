# One image for everything of lossweep's own: Ray's head and workers, a sweep's driver, MLflow, optuna-dashboard.
#
#   docker build -t lossweep .
#
# Libraries are a layer of their own, which changes only with pyproject.toml and constraints.txt; the code on top of it is a few hundred
# kilobytes. torch comes with its CUDA libraries, so one image serves machines with a GPU and without.
FROM python:3.12.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/lossweep
ENV PATH=/opt/lossweep/bin:$PATH
WORKDIR /src

# The libraries: installed for an empty package that asks for the same ones.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir lossweep && touch lossweep/__init__.py
RUN --mount=type=cache,target=/root/.cache/pip pip install -c constraints.txt '.[service]' && pip uninstall -y lossweep

COPY MANIFEST.in ./
COPY lossweep lossweep
COPY spaces spaces
COPY trainers trainers
COPY search search
COPY dashboards dashboards
RUN pip install --no-deps .


FROM python:3.12.11-slim-bookworm

# Files on shared volumes belong to this user, so its number is fixed.
RUN useradd --uid 10001 --create-home lossweep \
    && install -d -o lossweep -g lossweep /var/lib/lossweep /var/lib/mlflow /var/cache/lossweep
COPY --from=build /opt/lossweep /opt/lossweep
ENV PATH=/opt/lossweep/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    LOSSWEEP_HOME=/var/lib/lossweep \
    MLFLOW_DISABLE_TELEMETRY=true \
    RAY_USAGE_STATS_ENABLED=0
USER lossweep
WORKDIR /home/lossweep
CMD ["lossweep", "--help"]
