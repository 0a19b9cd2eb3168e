# `make` prints this menu. What a target does stands behind its name.

.DEFAULT_GOAL := help
.PHONY: help run test check verify migrate openapi config bench clean
.PHONY: remove-example
CARGO ?= cargo
TESTKIT_RUN = $(or $(CARGO_TARGET_DIR),target)/debug/testkit-run

help: ## Print this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Serve on http://127.0.0.1:8080 (SQLite in data/ unless DATABASE_URL is set)
	@$(CARGO) run --package api

test: servers ## Run the whole suite on SQLite and on throwaway PostgreSQL and PgBouncer
	$(CARGO) build --quiet --package berth-testkit --bin testkit-run
	$(TESTKIT_RUN) $(CARGO) test --workspace

check: ## Check formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --locked

verify: test check ## Run test and check, and whatever is too slow for each change
	.ci/observability
	$(TESTKIT_RUN) $(CARGO) test --workspace -- --ignored </dev/null
	.ci/remove-example

migrate: ## Apply pending migrations to DATABASE_URL; other commands: make migrate DO=status
	@$(CARGO) run --quiet --package migration -- $(or $(DO),up)

openapi: ## Write docs/openapi.json from the code
	@$(CARGO) run --quiet --package api -- openapi > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

config: ## Print the settings in force and where each came from
	@$(CARGO) run --quiet --package api -- config

remove-example: ## Remove the example; the rest compiles, serves and passes its tests
	@scripts/remove-example

bench: servers ## Measure side by side with peers; one part alone: make bench DO=reads
	$(CARGO) build --quiet --package berth-testkit --bin testkit-run
	$(TESTKIT_RUN) $(CARGO) run --release --manifest-path bench/Cargo.toml -- $(DO)

clean: ## Remove what was built, and the SQLite database of `make run`
	$(CARGO) clean
	rm -rf data

.PHONY: servers
servers:
	@.ci/servers
