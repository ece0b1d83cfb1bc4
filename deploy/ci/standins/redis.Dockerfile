# A stand-in for the image redis:7, for machines without a registry: Debian's Redis 7.0.
# It keeps what docker-compose.yml needs of the original: the user `redis`, the entrypoint, the data folder.
FROM opsite-base:bookworm

RUN apt-get update -qq -o Acquire::Retries=3 \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Acquire::Retries=3 -o DPkg::Options::=--force-unsafe-io --no-install-recommends redis-server >/dev/null \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
