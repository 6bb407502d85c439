# What the README says, under short names.

# Start everything embedded, in ./data.
up:
    cargo run

# Show the whole way, live.
demo:
    cargo run -- demo

# What has to pass before a commit.
check:
    .ci/fast

# The same of all that is about SQL: its engine takes minutes to build.
check-sql:
    cargo clippy --features sql -p nexus -p nexus-analytics --all-targets -- -D warnings
    cargo test --features sql -p nexus -p nexus-analytics --test it sql::
    cargo test --features sql -p nexus -p nexus-analytics --lib

test:
    cargo test

# The functions of Arroyo's SQL, built and called as Arroyo calls them.
plugins:
    cd udfs/plugins && cargo build --locked && cargo test --locked

# kill -9 under load, at length: 100 rounds on the embedded log (of the mirror,
# 100 seeds), and up to 20 on Kafka when NEXUS_TEST_KAFKA names a broker.
chaos:
    NEXUS_CHAOS_ROUNDS=100 cargo test --release --test it chaos -- --nocapture --test-threads 1

# The benchmarks that need nothing but this repository.
bench:
    cargo bench -p nexus-benches

# A Kafka broker for development, without containers.
kafka-up:
    deploy/dev/kafka.sh start data/kafka 9092

kafka-down:
    deploy/dev/kafka.sh stop data/kafka
