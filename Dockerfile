# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# --target keeps the flag away from procedural macros; a fully static binary needs nothing of the image below.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$(uname -m)-unknown-linux-gnu" \
    && cp target/*/release/wardroom /wardroom && mkdir /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /wardroom /wardroom
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
EXPOSE 8443 9090
HEALTHCHECK --interval=10s --timeout=2s --start-period=10s --retries=3 CMD ["/wardroom", "healthcheck"]
ENTRYPOINT ["/wardroom"]
CMD ["serve", "--config", "/etc/wardroom/wardroom.toml"]
LABEL org.opencontainers.image.title="Wardroom" \
      org.opencontainers.image.description="A guarded gateway in front of a team's chat" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT"
