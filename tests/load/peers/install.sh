#!/usr/bin/env bash
# Installs the servers that `load cost` and `load memory` compare ours with: socketioxide, built here with its own lock
# file, and Node's socket.io. A server that is missing is named in the table and left out of it.
set -euo pipefail
cd "$(dirname "$0")"

cargo build --locked --release --manifest-path socketioxide/Cargo.toml --target-dir socketioxide/target

# npm ci begins from nothing each time: only when the lock has changed since.
if ! cmp -s node/package-lock.json node/node_modules/.installed-lock; then
  (cd node && npm ci --no-audit --no-fund --loglevel=error)
  cp node/package-lock.json node/node_modules/.installed-lock
fi
