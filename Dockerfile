# All commands, with PyTorch: docker build --tag rec_sys .
# mkdir -p shop; docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD/shop:/work" rec_sys train
# The web service has a smaller image without PyTorch: triton_utils/Dockerfile.
FROM python:3.11-slim

RUN pip install --no-cache-dir "uv>=0.8" && useradd --create-home --uid 1000 trainer
WORKDIR /app

# The packages first: they change less often than the code.
COPY pyproject.toml uv.lock ./
# Compiled here: the user below may not write there, and each start would compile anew.
RUN uv sync --locked --no-dev --group serving --no-install-project --no-cache --compile-bytecode
COPY config config
COPY rec_sys rec_sys
COPY triton_utils/*.py triton_utils/

# Whoever runs it, what libraries want to keep goes to the mounted folder.
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 HOME=/work
RUN mkdir /work && chown trainer /work
USER trainer
WORKDIR /work
ENTRYPOINT ["python", "-m", "rec_sys"]
CMD ["--help"]
