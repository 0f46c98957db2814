# Each command brings what it needs: on a machine that has Rust, `make run` is the first one.
.DEFAULT_GOAL := help
.PHONY: help setup run demo test lint sim bench sqlx

# The profile that builds fastest; what measures speed has its own.
SHOWRUNNER := cargo run --quiet --package cli --bin showrunner --

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install PostgreSQL and Redis if they are missing
	@scripts/setup

run: setup ## sell tickets through the API, show what became of them, serve until Ctrl-C
	cargo build --package cli --bin showrunner
	@$(SHOWRUNNER) demo --serve

demo: setup ## the same, then stop; fails if anything was not as it should be
	cargo build --package cli --bin showrunner
	@$(SHOWRUNNER) demo

lint: ## formatting and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

test: setup lint ## everything that has to hold before a change lands
	cargo test --workspace

sim: ## the simulator: SEEDS=100000 for many (FIRST= for the first), SEED=17 for one and its story
	SIM_SEED=$(SEED) SIM_SEEDS=$(SEEDS) SIM_FIRST=$(FIRST) \
		cargo test --quiet --package workflows --test workflows simulator::nothing -- --nocapture

bench: setup ## measure engine, orders, ledger and batches (about half an hour; BENCH='--quick' or '--help' for less)
	cargo build --quiet --profile bench-run --package cli --bin showrunner
	cargo run --quiet --profile bench-run --package bench -- $(BENCH)

sqlx: setup ## refresh .sqlx/ after a query or a migration changed
	@scripts/sqlx-prepare
