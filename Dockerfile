# syntax=docker/dockerfile:1
# Two images of one code: `web` (and beat), without torch, and `worker`, with it.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/venv/bin:$PATH DJANGO_SETTINGS_MODULE=tiebreak.settings

FROM base AS web-packages
RUN python -m venv /opt/venv
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The server's dependencies alone first: this layer lasts until pyproject.toml or constraints.txt change.
RUN python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['server']))" > /tmp/web.txt \
    && pip install -c constraints.txt -r /tmp/web.txt

FROM web-packages AS worker-packages
# The CPU wheels by default; for a GPU: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install -c constraints.txt --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple torch==2.13.0
RUN python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['rt']))" > /tmp/rt.txt \
    && pip install -c constraints.txt -r /tmp/rt.txt

FROM base AS runtime
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin tiebreak \
    && install -d -o tiebreak -g tiebreak /data
WORKDIR /app
ENV PYTHONPATH=/app/platform:/app
COPY manage.py pyproject.toml ./
COPY platform platform
COPY templates templates
COPY annotate annotate
COPY curation curation
VOLUME /data

FROM runtime AS web
COPY --from=web-packages /opt/venv /opt/venv
USER tiebreak
EXPOSE 8000
CMD ["gunicorn", "tiebreak.wsgi:application", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "4", \
     "--no-control-socket", "--access-logfile", "-", "--worker-tmp-dir", "/dev/shm"]

FROM runtime AS worker
COPY models_rt models_rt
COPY --from=worker-packages /opt/venv /opt/venv
USER tiebreak
CMD ["celery", "-A", "tiebreak", "worker", "-Q", "default,judge,gpu", "--concurrency", "2", "-l", "warning"]
