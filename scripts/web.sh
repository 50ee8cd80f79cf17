#!/usr/bin/env bash
# Builds the web application into web/dist, where the program takes it from. Does nothing where its sources are those of
# the last build. `./run`, `./test` and release builds of the program call it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/prepare.sh

# What is built depends on these and on nothing else.
sources() {
	find web docs scripts/web.sh scripts/compress.mjs -type f \
		-not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path web/.built -not -path web/openapi.json -not -path web/src/api/schema.d.ts \
		-print0 | LC_ALL=C sort --zero-terminated | xargs --null sha256sum | sha256sum | cut -d' ' -f1
}

state=$(sources)
if [ -f web/dist/index.html ] && [ "$(cat web/.built 2>/dev/null)" = "$state" ]; then
	exit
fi
web_toolchain
say "Building the web application"
web_packages
rm -f web/.built
(cd web && node_modules/.bin/vite build --logLevel warn)
node scripts/compress.mjs web/dist
echo "$state" >web/.built
