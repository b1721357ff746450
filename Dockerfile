# syntax=docker/dockerfile:1
# The node as one image; the role is the command: serve (default: all roles), receive, work or web.
#   docker build --tag spine-node .
#   docker run --network host --volume spine-data:/data --read-only --tmpfs /tmp --cap-drop ALL \
#     --security-opt no-new-privileges spine-node serve --destination PACS=PACS@10.0.0.5:104

FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/spine-node
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY inference ./inference
COPY models ./models
COPY dicom_node ./dicom_node
COPY claims ./claims
COPY server ./server
COPY training ./training
RUN /opt/spine-node/bin/pip install --no-cache-dir --constraint constraints.txt ".[postgresql,s3]"
# OHIF, by pinned version and digest; npm stays in this stage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends npm \
    && /opt/spine-node/bin/spine-node viewer install --viewer-dir /opt/spine-node/viewer

FROM python:3.11-slim-bookworm AS node
# libgomp1: OpenMP for the numeric libraries; tini: reaps and forwards signals as process 1; postgresql-client: backups.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 postgresql-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin spine \
    && install --directory --owner spine --group spine --mode 0700 /data
COPY --from=build /opt/spine-node /opt/spine-node
ENV PATH=/opt/spine-node/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SPINE_DATA_DIR=/data \
    SPINE_VIEWER_DIR=/opt/spine-node/viewer
USER spine
WORKDIR /data
VOLUME /data
EXPOSE 11112
STOPSIGNAL SIGTERM
# Settings, database, spool and models, without a network: true for every role.
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s --retries=3 CMD ["spine-node", "status"]
ENTRYPOINT ["tini", "--", "spine-node"]
CMD ["serve"]
