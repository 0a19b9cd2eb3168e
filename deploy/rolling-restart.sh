#!/usr/bin/env bash
# Restarts the replicas of `docker compose` one after the other, and waits for each to be ready before the next.
# While one is away the others share its connections.
set -euo pipefail
cd "$(dirname "$0")/.."

for replica in $(docker compose ps --quiet api); do
    docker restart --time 40 "$replica" >/dev/null
    until [ "$(docker inspect --format '{{.State.Health.Status}}' "$replica")" = healthy ]; do sleep 0.2; done
    echo "restarted $(docker inspect --format '{{slice .Name 1}}' "$replica")"
done
