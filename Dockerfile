# README's two commands in a container, from a clone:
#     docker build --tag rethink .
#     docker run --volume "$PWD/figures:/rethink/figures" rethink
#     docker run rethink cargo test --release

# What has to be there besides the clone: Rust, a C compiler, Python with its venv module.
FROM rust:1-bookworm AS tools
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

FROM tools
WORKDIR /rethink
COPY . .
RUN cargo build --release
CMD ["cargo", "run", "--release", "--", "reproduce"]
