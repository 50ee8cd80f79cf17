#!/usr/bin/env bash
# The lab: the same verdicts from real telephone servers as from the ones that the tests make, and the files that are
# written for them loaded and called through. On loopback and free ports only; what is started is ended by the tests.
# Kamailio is installed where it is missing. Asterisk is in no stable release of Debian since 11: it is put into a folder
# of its own, target/lab, with debootstrap; where that cannot be done its part is skipped, which is said in one line.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/prepare.sh

lane() {
	cargo test --quiet --locked --workspace --lib -- --ignored "calling::lab::$1"
}

# Makes a small Debian of this release with Asterisk in it; says why where that fails.
debian_with_asterisk() {
	local suite=$1 root=$2 mirror
	mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | awk '!/security/ && !found { found = 1; print }')
	[ -n "$mirror" ] || { echo "no mirror of Debian is known here"; return 1; }
	mkdir -p "$root"
	debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >"$root.log" 2>&1 || { tail -n1 "$root.log"; return 1; }
	# Nothing may start there by itself. An index may be older than it says; its signature is checked all the same.
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99lab"
	cp /etc/resolv.conf "$root/etc/"
	{
		chroot "$root" apt-get -qq update &&
			chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends asterisk asterisk-modules
	} >>"$root.log" 2>&1 || { tail -n1 "$root.log"; return 1; }
	touch "$root/complete"
}

packages kamailio kamailio-tls-modules
toolchain
say "Telephone servers: $(kamailio -v | sed -nE 's/^version: (kamailio [0-9.]+).*/\1/p')"
lane kamailio

# One that has everything of today, and the oldest that is still met.
for suite in sid bullseye; do
	root=$PWD/target/lab/$suite
	if [ "$(id -u)" -ne 0 ]; then
		printf 'skipped: Asterisk of Debian %s runs in a folder of its own, which needs root\n' "$suite"
		continue
	fi
	if ! [ -e "$root/complete" ]; then
		packages debootstrap
		rm -rf "$root"
		mkdir -p target/lab
		if ! why=$(debian_with_asterisk "$suite" "$root"); then
			printf 'skipped: Asterisk of Debian %s cannot be had here: %s\n' "$suite" "$why"
			continue
		fi
	fi
	say "Telephone servers: $(chroot "$root" asterisk -V)"
	SEPARATOR_TEST_ASTERISK=$root lane asterisk
done
