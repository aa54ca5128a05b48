//! The simulator held against discord.js, the library that most bots are written with.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::harness::World;

/// How long the whole script may take.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test]
async fn discord_js_understands_everything_that_it_is_told() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients");
    assert!(
        clients.join("node_modules/discord.js").exists(),
        "the clients' packages are missing: `make test` installs them"
    );
    let world = World::start().await;
    let script = Command::new("node")
        .current_dir(clients)
        .arg("crosscheck.mjs")
        .arg(format!("http://{}", world.sim.addr()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, script)
        .await
        .expect("the script ends in time")
        .expect("node is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaints}");
    assert!(said.contains(r#""failed":[]"#), "{said}");
}
