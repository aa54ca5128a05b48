# make run    everything on one machine: the embedded broker and store and, without DISCORD_BOT_TOKEN, the simulated Discord
# make test   the whole test suite; installs what it needs
# make check  format, lints, documentation
# make viewer       builds the web page into fanout/viewer/dist, which is committed; needs Node 20
# make screenshots  takes the README's pictures, after the browser test has passed; needs Chromium
# make clients-reference  the official clients' scenario on the official server alone: whether the scenario is right
# make bench  the load generator: one table, the fanout beside one plain send a socket (release build); BENCH="--sockets 9000" changes it
# make bench-revocation  how late 5,000 members on two fanouts are told that access was taken or given, and that nothing leaks
# make bench-cost, bench-memory, bench-slow, bench-churn  the Socket.IO server alone: what a delivery and a socket cost beside
#             the servers that others run, what a client that does not read does, what clients leave behind
# make bench-pages  what a page of 50 takes in a channel of 1,000,000 messages, in SQLite, MariaDB and PostgreSQL
# make chaos  the fault suite (release build): each fault for itself, 200 drawn sequences, a deploy, a long outage; some hours.
#             CHAOS="faults --only NatsKilled", CHAOS="seeds --from 17 --count 1", CHAOS=rolling or CHAOS=outage is a part of it
# make fuzz   the fuzz targets of the codecs, with coverage; needs a C++ compiler; FUZZ_RUNS=1000000 changes how long

.PHONY: chaos fuzz run test check bench bench-revocation bench-cost bench-memory bench-slow bench-churn bench-pages bench-programs install viewer screenshots clients-reference

# A failure's own words say where it is; frames of the runtime only bury them.
export RUST_BACKTRACE ?= 0

# The services that the bench and the pictures start.
SERVICES = -p ingest -p fanout -p discord-sim

run:
	cargo run --locked -p standalone --bin discord-stream

check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

install:
	tests/install.sh

# nextest runs each test in a process of its own, several at a time; where it is missing, cargo's own runner does.
test: install
	cargo build --locked --workspace --all-targets
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --locked --workspace; \
	else cargo test --locked --workspace --all-targets; fi

# libFuzzer needs flags that stable Rust gives only when told so. Our packages have no unsafe code, so that a sanitizer
# would only make it slower. What is found goes into the target folder; seeds that reach more are committed by hand.
FUZZ_TARGETS = packets payloads frames
FUZZ_RUNS = 5000000
FUZZ = RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fanout/socketio/fuzz --target-dir target/fuzz --sanitizer none

fuzz:
	cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p target/fuzz/corpus/$$target && \
	  $(FUZZ) $$target target/fuzz/corpus/$$target fanout/socketio/fuzz/seeds/$$target -- \
	    -runs=$(FUZZ_RUNS) -max_len=2048 -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=target/fuzz/ || exit 1; \
	done

viewer:
	cd fanout/viewer && npm ci --no-audit --no-fund --loglevel=error && npm run check && npm test && npm run build

screenshots: install
	cargo build --locked $(SERVICES)
	SCREENSHOTS=$(CURDIR)/fanout/viewer/screenshots cargo test --locked -p tests --test e2e chromium_reads

clients-reference: install
	cargo test --locked -p tests --test e2e clients::reference

bench: install
	cargo build --locked --release $(SERVICES) -p load
	target/release/load $(BENCH)

bench-revocation: install
	cargo build --locked --release $(SERVICES) -p load
	$(LOAD) revocation $(BENCH)

# The benches of the Socket.IO server need two cores: the server has one, the clients the other.
LOAD = $${CARGO_TARGET_DIR:-target}/release/load

bench-programs:
	tests/load/peers/install.sh
	cargo build --locked --release -p load -p actix-socketio --bins --examples

bench-cost: bench-programs
	$(LOAD) cost $(BENCH)

bench-memory: bench-programs
	$(LOAD) memory $(BENCH)

bench-slow: bench-programs
	$(LOAD) slow $(BENCH)

bench-churn: bench-programs
	$(LOAD) churn $(BENCH)

# What 500 viewers are shown is kept, some 200 MiB a burst: with small pages a tenth of a burst's time goes for their faults.
# The services start without the tunable.
chaos: install
	cargo build --locked --release $(SERVICES) -p chaos
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $${CARGO_TARGET_DIR:-target}/release/chaos $(CHAOS)

bench-pages: install
	cargo build --locked --release -p load --bins
	$(LOAD) pages $(BENCH)
