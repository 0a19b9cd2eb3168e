# `make` prints this menu from the comments behind the targets.

.DEFAULT_GOAL := help
.PHONY: help init entities run dev test check verify migrate seed openapi config bench clean
.PHONY: client remove-example upgrade manifest table column
CARGO ?= cargo
# With `--bin` cargo selects the features that all members need, with `--package` those that one needs: with `--bin` the
# commands share what is compiled.
TESTKIT_RUN = $(or $(CARGO_TARGET_DIR),target)/debug/testkit-run

help: ## Print this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

init: ## Name the service: make init NAME=shop; EXAMPLE=no removes the example too
	@test -n "$(NAME)" || { echo "make init NAME=shop [EXAMPLE=no]" >&2; exit 1; }
	@echo "Compiling the tool, if needed."
	@$(CARGO) run --quiet --bin berth-tool -- init "$(NAME)" $(if $(filter no,$(EXAMPLE)),--without-example) \
		$(if $(filter yes,$(DIRTY)),--allow-uncommitted)

run: ## Serve on http://127.0.0.1:8080 (SQLite in data/ unless DATABASE_URL is set)
	@echo "Compiling. The first build takes a few minutes."
	@$(CARGO) run --bin api

dev: ## Serve, and restart after each change (with watchexec, bacon, cargo-watch or entr)
	@scripts/dev

test: servers ## Run all tests on SQLite and on throwaway PostgreSQL and PgBouncer
	$(CARGO) build --bin testkit-run
	$(TESTKIT_RUN) $(CARGO) test --workspace

check: ## Check formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --locked

verify: test check ## Run test and check, and the slow tests
	.ci/observability
	.ci/contract
	$(TESTKIT_RUN) .ci/sea-orm-suite/run
	.ci/vanished-hosts
	$(TESTKIT_RUN) $(CARGO) test --workspace -- --ignored </dev/null
	.ci/tutorial
	.ci/remove-example
	.ci/init
	$(TESTKIT_RUN) .ci/entities
	.ci/generate

entities: ## Write entities and services for tables of DATABASE_URL: make entities TABLES="orders auth.users"
	@echo "Compiling the tool, if needed; the first time takes a minute."
	@$(CARGO) run --quiet --bin berth-tool --features berth-tool/entities -- entities $(TABLES)
	@test -z "$(TABLES)" || { $(CARGO) update --quiet --workspace && $(CARGO) fmt --all; }

migrate: ## Apply pending migrations to DATABASE_URL; other commands: make migrate ARGS=status
	@$(CARGO) build --bin migration
	@$(CARGO) run --quiet --bin migration -- $(or $(ARGS),up)

seed: ## Fill the database with users and rows for development; a second run adds nothing
	@$(CARGO) build --bin api
	@$(CARGO) run --quiet --bin api -- seed

table: ## Add a table: make table NAME=invoice FIELDS="number:string:unique total:decimal"; UNDO=invoice takes it back
	@$(CARGO) run --quiet --bin berth-tool -- table $(or $(UNDO),$(NAME)) $(if $(UNDO),--undo,--fields "$(FIELDS)") \
		$(if $(PLURAL),--plural $(PLURAL)) $(if $(DRY_RUN),--dry-run)

column: ## Add a column: make column TABLE=invoice FIELD="note:text?"
	@$(CARGO) run --quiet --bin berth-tool -- column "$(TABLE)" "$(FIELD)" \
		$(if $(PLURAL),--plural $(PLURAL)) $(if $(DRY_RUN),--dry-run)

openapi: ## Write docs/openapi.json from the code
	@$(CARGO) run --quiet --bin api -- openapi > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

.PHONY: docs
docs: ## Build the documentation as a site in book/
	@.ci/mdbook build

client: ## Write client/schema.ts, the types of a TypeScript client, from docs/openapi.json
	@cd client && npm ci --silent --no-audit --no-fund && npm run --silent generate

config: ## Print the settings in force and the source of each
	@$(CARGO) run --quiet --bin api -- config

remove-example: ## Remove the example; the rest compiles, serves and passes its tests
	@scripts/remove-example

upgrade: ## Upgrade crates/platform: make upgrade FROM=<git URL or folder> TO=<tag>
	@test -n "$(FROM)" && test -n "$(TO)" || { echo "make upgrade FROM=<git URL or folder> TO=<tag>" >&2; exit 1; }
	@$(CARGO) run --quiet --bin berth-tool -- upgrade "$(FROM)" "$(TO)"
	@$(CARGO) update --quiet --workspace # enters the new versions in Cargo.lock
	@$(MAKE) --no-print-directory check

manifest: ## Write crates/platform/MANIFEST, for a new version of the platform
	@$(CARGO) run --quiet --bin berth-tool -- manifest

bench: servers ## Compare with other pools in one run; one part alone: make bench ARGS=reads
	$(CARGO) build --bin testkit-run
	$(TESTKIT_RUN) $(CARGO) run --release --manifest-path bench/Cargo.toml -- $(ARGS)

clean: ## Remove the build output and the SQLite database of `make run`
	$(CARGO) clean
	rm -rf data

.PHONY: servers
servers:
	@.ci/servers
