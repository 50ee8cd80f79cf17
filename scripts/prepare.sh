# shellcheck shell=bash
# What `run` and `test` share: installing what is missing, and only that. Sourced, not run.

say() {
	printf '\n== %s\n' "$*"
}

fail() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Runs a command as root: directly, or through sudo.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "this needs root once, and there is no sudo; as root: $*"
	fi
}

# Installs those of the Debian packages that are not there yet.
packages() {
	local missing=() package log
	for package in "$@"; do
		dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
	done
	[ ${#missing[@]} -eq 0 ] && return
	command -v apt-get >/dev/null || fail "install these and try again: ${missing[*]}"
	say "Installing ${missing[*]}"
	log=$(mktemp)
	if [ -z "${packages_updated:-}" ]; then
		as_root apt-get -qq update >"$log" 2>&1 || fail "apt-get update failed: $(cat "$log")"
		packages_updated=yes
	fi
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
		fail "apt-get install failed: $(cat "$log")"
	rm -f "$log"
}

# What compiling needs: a C compiler for SQLite and ring, and Rust. Nothing else: no OpenSSL, no system's SQLite.
toolchain() {
	local wanted found
	if ! command -v cc >/dev/null; then
		packages gcc libc6-dev
	fi
	command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
	wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
	command -v cargo >/dev/null || fail "Rust is missing. Install version $wanted or newer as https://rustup.rs says and try again."
	found=$(rustc --version | cut -d' ' -f2)
	if [ "$(printf '%s\n' "$wanted" "$found" | sort --version-sort | head -n1)" != "$wanted" ]; then
		fail "Rust $found is too old, $wanted or newer is needed. With rustup: rustup update stable"
	fi
}

# What the web application is built with: npm and Node.js. Where the system's Node.js is too old (Debian 12 has 18), a newer
# one is fetched as a package of npm; it stays in target/node.
web_toolchain() {
	local wanted=20.19 fetched=22.23.3 machine folder
	command -v node >/dev/null && command -v npm >/dev/null ||
		fail "Node.js and npm are missing, with which the web application is built. Install them and try again; on Debian: apt-get install nodejs npm"
	folder=$PWD/target/node
	if [ "$(printf 'v%s\n%s\n' "$wanted" "$(node --version)" | sort --version-sort | head -n1)" != "v$wanted" ]; then
		case $(uname -m) in
		x86_64) machine=x64 ;;
		aarch64) machine=arm64 ;;
		*) fail "Node.js $(node --version) is too old, $wanted or newer is needed" ;;
		esac
		if ! [ -x "$folder/node_modules/node-linux-$machine/bin/node" ]; then
			say "Fetching Node.js $fetched (the system has $(node --version))"
			mkdir -p "$folder"
			npm install --prefix "$folder" --no-save --no-audit --no-fund --loglevel=error "node-linux-$machine@$fetched"
		fi
		PATH=$folder/node_modules/node-linux-$machine/bin:$PATH
	fi
}

# The packages of the web application as the lock file names them; left alone where they are there.
web_packages() {
	if ! cmp -s web/package-lock.json web/node_modules/.locked; then
		npm ci --prefix web --no-audit --no-fund --loglevel=error
		cp web/package-lock.json web/node_modules/.locked
	fi
}
