# Two binaries in an image without a shell: `api` serves, `migration` changes the schema.
#
#   docker build --tag berth .                             with --build-arg FEATURES=otlp: can send traces
#   docker run --rm --env DATABASE_URL=... berth migration up
#   docker run --rm --publish 8080:8080 --env DATABASE_URL=... --env APP__APP__SECRET=... --env AUTH_MODE=local berth

# The same as in rust-toolchain.toml, which stays outside: it asks for tools that a build does not need.
ARG RUST_VERSION=1.95
# Cargo features of `api`, such as otlp. None by default.
ARG FEATURES=

# Only the manifests, and an empty source for each target that they name. The next stage is cached by the output of this
# one, so it runs again when a manifest or the lock file changes, and not for each edit.
FROM rust:${RUST_VERSION}-slim-bookworm AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path '*/benches/*.rs' ! -path '*/tests/*.rs' -delete \
    && find . -type d -empty -delete \
    && find . -name '*.rs' -exec truncate --size 0 {} + \
    && find crates migration -name Cargo.toml -printf '%h\n' \
        | while read -r member; do mkdir -p "$member/src" && touch "$member/src/lib.rs"; done \
    && for binary in crates/api migration; do echo 'fn main() {}' > $binary/src/main.rs; done

# The dependencies.
FROM rust:${RUST_VERSION}-slim-bookworm AS dependencies
ARG FEATURES
WORKDIR /src
COPY --from=manifests /src .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo build --release --locked --package api --package migration --features "${FEATURES}"

# The service. Cargo compares the times of files, and the empty sources are newer than those of the checkout.
FROM dependencies AS build
ARG FEATURES
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    find crates migration config -type f -exec touch {} + \
    && cargo build --release --locked --package api --package migration --features "${FEATURES}"

# glibc, the public certificate authorities, and a user without rights.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Berth" \
      org.opencontainers.image.description="A backend that lives within its database connections" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /src/target/release/api /src/target/release/migration /usr/local/bin/
ENV APP_ENV=production
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["/usr/local/bin/api", "health", "ready"]
# No ENTRYPOINT: platforms replace the command alone, and put `migration up` in its place before a release.
CMD ["/usr/local/bin/api", "serve"]
