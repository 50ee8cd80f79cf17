#!/usr/bin/env bash
# The lab: the same verdicts from real telephone servers as from the ones that the tests make, and the files that are
# written for them loaded and called through. On loopback and free ports only; what is started is ended by the tests.
# Kamailio is installed where it is missing. Asterisk is not in every Debian release: without it its part is skipped, and
# that is said in one line.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/prepare.sh

packages kamailio kamailio-tls-modules
toolchain
say "Telephone servers: Kamailio $(kamailio -v | sed -nE 's/^version: kamailio ([0-9.]+).*/\1/p')"
cargo test --quiet --locked --workspace --lib -- --ignored calling::lab::kamailio
if command -v asterisk >/dev/null; then
	cargo test --quiet --locked --workspace --lib -- --ignored calling::lab::asterisk
else
	printf 'skipped: Asterisk is not installed and not in this release of Debian; its files are checked for their form only\n'
fi
