//! The laws of import: which package of ours may see which, and where a vendor's crate may be named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::sources::root;

/// Each package and what it may depend on, of ours.
const SEES: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("proto/broker", &["proto"]),
    ("proto/store", &["proto"]),
    ("proto/runtime", &["proto"]),
    ("ingest", &["proto", "broker", "store", "runtime"]),
    (
        "fanout",
        &[
            "proto",
            "broker",
            "store",
            "runtime",
            "actix-socketio",
            "registry",
        ],
    ),
    ("fanout/socketio", &[]),
    ("fanout/registry", &[]),
    (
        "deploy/standalone",
        &[
            "proto",
            "broker",
            "store",
            "runtime",
            "ingest",
            "fanout",
            "discord-sim",
        ],
    ),
    // The corpus of messages goes from the frame to what viewers get, in one process.
    ("tests", &["proto", "ingest", "fanout"]),
    ("tests/discord-sim", &[]),
    ("tests/load", &["proto", "store"]),
    ("tests/chaos", &[]),
];

/// A vendor's crate, and the only places whose code may name it.
const NAMED_IN: &[(&str, &[&str])] = &[
    ("twilight_gateway", &["ingest/src/gateway"]),
    ("async_nats", &["proto/broker/src/nats"]),
    ("sqlx", &["proto/broker/src/embedded", "proto/store/src"]),
    ("deadpool_redis", &["fanout/registry/src/redis"]),
    ("ipnet", &["fanout/src/address"]),
    ("oauth2", &["fanout/src/auth"]),
    ("cookie", &["fanout/src/http/login"]),
    (
        "actix_cors",
        &["fanout/src/http/headers", "fanout/socketio/examples"],
    ),
    ("rust_embed", &["fanout/src/http/page"]),
    ("jsonwebtoken", &["fanout/src/auth", "tests/load/src"]),
    (
        "reqwest",
        &[
            "ingest/src/rest",
            "fanout/src/auth/client",
            "fanout/tests",
            "tests/src",
            "tests/load/src",
            "tests/chaos/src",
        ],
    ),
    (
        "actix_http",
        &[
            "fanout/socketio",
            "fanout/src/server",
            "fanout/src/peer",
            "fanout/src/transport/websocket",
        ],
    ),
    ("hyper", &["fanout/src/peer"]),
    ("hyper_util", &["fanout/src/peer"]),
    ("http_body_util", &["fanout/src/peer"]),
    ("ppp", &["fanout/src/peer/preface"]),
    ("opentelemetry", &["proto/runtime/src/traces"]),
    ("opentelemetry_sdk", &["proto/runtime/src/traces"]),
    ("opentelemetry_otlp", &["proto/runtime/src/traces"]),
    ("opentelemetry_proto", &["tests/src/otlp"]),
    ("tonic", &["tests/src/otlp"]),
    ("prometheus_client", &["proto/runtime/src/metrics"]),
];

/// The names below `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let after = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .unwrap_or_default();
    let section = after.split("\n[").next().unwrap_or_default();
    let names = section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Every `.rs` file below a folder, with its path from the root.
fn sources(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            let name = entry.file_name();
            if name != "target" && name != "node_modules" && name != ".git" {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path
                .strip_prefix(root())
                .expect("it lies below the root")
                .to_owned();
            found.insert(
                relative,
                fs::read_to_string(&path).expect("sources are text"),
            );
        }
    }
}

#[test]
fn each_package_sees_only_those_below_it() {
    let ours: BTreeSet<&str> = SEES
        .iter()
        .flat_map(|(_, below)| below.iter().copied())
        .chain(["load", "tests", "standalone"])
        .collect();
    for (package, below) in SEES {
        let manifest =
            fs::read_to_string(root().join(package).join("Cargo.toml")).expect("it is a package");
        let seen = dependencies(&manifest);
        assert!(!seen.is_empty(), "{package} has dependencies");
        for name in seen.iter().filter(|name| ours.contains(name.as_str())) {
            assert!(
                below.contains(&name.as_str()),
                "{package} must not see {name}"
            );
        }
    }
}

#[test]
fn a_vendors_crate_is_named_only_where_it_is_wrapped() {
    let mut found = BTreeMap::new();
    sources(&root(), &mut found);
    assert!(found.len() > 50, "the sources are there");
    for (vendor, places) in NAMED_IN {
        let mut is_found = false;
        for (path, text) in &found {
            let is_test = path.components().any(|part| part.as_os_str() == "tests")
                && !path.starts_with("tests");
            let mut lines = text
                .split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .lines();
            let names = lines.any(|line| {
                !line.trim_start().starts_with("//") && line.contains(&format!("{vendor}::"))
            });
            if !names
                || is_test
                || path.starts_with("tests/discord-sim")
                || path.starts_with("tests/e2e")
            {
                continue;
            }
            is_found = true;
            let allowed = places
                .iter()
                .any(|place| path.starts_with(place) || *path == Path::new(&format!("{place}.rs")));
            assert!(allowed, "{} names {vendor}", path.display());
        }
        assert!(is_found, "{vendor} is named somewhere");
    }
}
