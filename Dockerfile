# The service as an image. The base images are arguments, so that any registry's can be used:
# one with Rust 1.95, one with glibc of the same Debian and CA certificates.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY .sqlx .sqlx
COPY config config
COPY migrations migrations
COPY src src
RUN cargo build --release --locked --bin mandate

FROM ${RUNTIME_IMAGE}
RUN mkdir -p /var/lib/mandate && chown 10001:10001 /var/lib/mandate
COPY --from=build /build/target/release/mandate /usr/local/bin/mandate
USER 10001:10001
ENV MANDATE__LISTEN__ADDRESS=0.0.0.0:8080 \
    MANDATE__LISTEN__HEALTH_ADDRESS=127.0.0.1:8081 \
    MANDATE_HOME=/var/lib/mandate
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["mandate", "healthcheck"]
ENTRYPOINT ["mandate"]
CMD ["serve"]
