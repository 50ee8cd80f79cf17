//! Sees to it that a release build has the web application in it, made of the sources that are there: `scripts/web.sh`
//! builds it where it is missing or old. Other builds read `web/dist` while they run and need nothing here.

use std::{env, path::Path, process::Command};

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its profile through the environment"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let root = Path::new("../..");
    if let Err(error) = std::fs::create_dir_all(root.join("web/dist")) {
        println!("cargo::error=the folder web/dist cannot be made: {error}");
    }
    if env::var_os("PROFILE").is_none_or(|profile| profile != "release") {
        return;
    }
    for source in [
        "web/src",
        "web/public",
        "web/index.html",
        "web/package-lock.json",
        "web/vite.config.ts",
        "web/help.ts",
        "docs",
        "web/dist",
        "scripts/web.sh",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    // What the script says goes to cargo's log; it is shown where the build fails.
    let built = Command::new("bash")
        .arg(root.join("scripts/web.sh"))
        .status();
    if !built.is_ok_and(|status| status.success()) {
        println!(
            "cargo::error=the web application could not be built, and a release without it would show no pages; run \
             scripts/web.sh to see why (it needs Node.js, npm and, the first time, the network)"
        );
    }
}
