"""Does the sums of docs/connection-budget.md with the numbers that Kubernetes and Docker Compose are really given.

budget.py MANIFESTS.yaml COMPOSE.json: what `kubectl kustomize` and `docker compose config --format json` print.
"""

import json
import re
import sys
import tomllib

import yaml

manifests_file, compose_file = sys.argv[1:]
DEFAULTS = tomllib.load(open("config/default.toml", "rb"))
SHORT = {"DB_LIMIT": "limit", "DB_RESERVE": "reserve", "DB_POOL_SIZE": "pool_size", "DB_MAX_OVERFLOW": "max_overflow"}


def settings(environment):
    found = {key: DEFAULTS["database"][key] for key in SHORT.values()}
    found |= {key: int(environment[name]) for name, key in SHORT.items() if name in environment}
    for key in ("drain_delay", "shutdown_timeout"):
        found[key] = float(environment.get(f"APP__SERVER__{key.upper()}", DEFAULTS["server"][key]))
    return found


def share(s, instances):
    return max(1, min((s["limit"] - s["reserve"]) // instances, s["pool_size"] + s["max_overflow"]))


def holds(what, left, right):
    print(f"{'ok  ' if left <= right else 'FAIL'}  {what}: {left:g} <= {right:g}")
    return left <= right


def kubernetes(kinds):
    deployment = kinds["Deployment"]["spec"]
    s = settings(kinds["ConfigMap"]["data"])
    most = kinds["HorizontalPodAutoscaler"]["spec"]["maxReplicas"]
    surge = deployment["strategy"]["rollingUpdate"]["maxSurge"]
    # A newcomer starts with one connection; a migration has two for a moment.
    yield holds(f"{most} pods x {share(s, most)} + {surge} newcomer + a migration's 2, of the limit",
                most * share(s, most) + surge + 2, s["limit"])
    yield holds(f"{most + surge} pods x {share(s, most + surge)} + the reserve, of the limit",
                (most + surge) * share(s, most + surge) + s["reserve"], s["limit"])
    yield holds(f"a pod keeps two connections, so that a long statement stops no other: of {most} each has",
                2, share(s, most))
    yield holds("drain_delay + shutdown_timeout, of the pod's grace period",
                s["drain_delay"] + s["shutdown_timeout"], deployment["template"]["spec"]["terminationGracePeriodSeconds"])


def compose(services):
    s = settings(services["api"]["environment"])
    pooler = services["pgbouncer"]["environment"]
    for setting in ("MAX_CLIENT_CONN", "DEFAULT_POOL_SIZE"):
        yield holds(f"DB_LIMIT, of the pooler's {setting}", s["limit"], int(pooler[setting]))
    yield holds(f"4 replicas x {share(s, 4)} + the reserve, of the limit", 4 * share(s, 4) + s["reserve"], s["limit"])
    grace = int(re.fullmatch(r"(\d+)s", services["api"]["stop_grace_period"])[1])
    yield holds("drain_delay + shutdown_timeout, of the stop_grace_period", s["drain_delay"] + s["shutdown_timeout"], grace)


documents = yaml.safe_load_all(open(manifests_file))
checks = list(kubernetes({document["kind"]: document for document in documents}))
checks += compose(json.load(open(compose_file))["services"])
sys.exit(not all(checks))
