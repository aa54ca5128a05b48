//! What ships beside the binaries says what the binaries are: Kubernetes manifests, the image, compose, settings.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Namespace, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tests::Client;
use tests::port::free_port;
use tests::process::{Process, program};
use tests::world::eventually;

use crate::sources::{read, root, setting_names};

/// The documents of an overlay, as `kubectl apply -k` would send them.
fn built(overlay: &str) -> anyhow::Result<Vec<Value>> {
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(root().join(overlay))
        .output()
        .context("kubectl is missing: `make test` installs it")?;
    if !output.status.success() {
        bail!("{overlay}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_saphyr::from_multiple(&String::from_utf8(
        output.stdout,
    )?)?)
}

/// Reads a document as its type. The types leave out what they do not know, so what comes back must be all.
fn typed<T: DeserializeOwned + Serialize>(document: &Value) -> anyhow::Result<()> {
    let read: T = serde_json::from_value(document.clone())?;
    let written = serde_json::to_value(&read)?;
    let mut lost = Vec::new();
    missing(document, &written, "", &mut lost);
    anyhow::ensure!(lost.is_empty(), "no such field: {}", lost.join(", "));
    Ok(())
}

/// The paths of one value that the other lacks.
fn missing(wanted: &Value, there: &Value, path: &str, lost: &mut Vec<String>) {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => {
            for (name, value) in wanted {
                let path = format!("{path}.{name}");
                match there.get(name) {
                    Some(there) => missing(value, there, &path, lost),
                    // A type leaves out a list that is empty.
                    None if value.as_array().is_some_and(Vec::is_empty) => {}
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(wanted), Value::Array(there)) if wanted.len() == there.len() => {
            for (number, (wanted, there)) in wanted.iter().zip(there).enumerate() {
                missing(wanted, there, &format!("{path}[{number}]"), lost);
            }
        }
        _ if wanted == there => {}
        _ => lost.push(path.to_owned()),
    }
}

/// Reads a document as what it says it is.
fn check(document: &Value) -> anyhow::Result<String> {
    let kind = document["kind"].as_str().context("a document has a kind")?;
    match kind {
        "Namespace" => typed::<Namespace>(document),
        "ServiceAccount" => typed::<ServiceAccount>(document),
        "ConfigMap" => typed::<ConfigMap>(document),
        "Secret" => typed::<Secret>(document),
        "Deployment" => typed::<Deployment>(document),
        "StatefulSet" => typed::<StatefulSet>(document),
        "Service" => typed::<Service>(document),
        "PodDisruptionBudget" => typed::<PodDisruptionBudget>(document),
        "NetworkPolicy" => typed::<NetworkPolicy>(document),
        "Ingress" => typed::<Ingress>(document),
        "HorizontalPodAutoscaler" => typed::<HorizontalPodAutoscaler>(document),
        other => bail!("{other} is a kind that this test does not know"),
    }
    .with_context(|| format!("{kind} {}", document["metadata"]["name"]))?;
    Ok(kind.to_owned())
}

fn counted(documents: &[Value]) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for document in documents {
        *counts.entry(check(document)?).or_default() += 1;
    }
    Ok(counts)
}

/// The containers of our own images, by their name.
fn containers(documents: &[Value]) -> anyhow::Result<BTreeMap<String, Container>> {
    let mut found = BTreeMap::new();
    for document in documents.iter().filter(|d| d["kind"] == "Deployment") {
        let deployment: Deployment = serde_json::from_value(document.clone())?;
        let pod = deployment
            .spec
            .template
            .spec
            .context("its pods have a spec")?;
        for container in pod.containers {
            found.insert(container.name.clone(), container);
        }
    }
    Ok(found)
}

/// A setting's name as an operator may write it.
fn is_known(names: &BTreeSet<String>, name: &str) -> bool {
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    names.contains(name) || names.contains(plain) || name.starts_with("OTEL_")
}

#[test]
fn the_overlays_are_what_kubernetes_takes_and_hold_what_they_should() -> anyhow::Result<()> {
    let production = counted(&built("k8s/overlays/production")?)?;
    let expected = [
        ("ConfigMap", 1),
        ("Deployment", 2),
        ("HorizontalPodAutoscaler", 1),
        ("Ingress", 1),
        ("Namespace", 1),
        ("NetworkPolicy", 2),
        ("PodDisruptionBudget", 2),
        ("Service", 3),
        ("ServiceAccount", 1),
    ];
    let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
    assert_eq!(production, BTreeMap::from(expected));
    let demo = counted(&built("k8s/overlays/demo")?)?;
    assert_eq!((demo["Deployment"], demo["StatefulSet"]), (4, 2));
    assert_eq!(demo["Service"], 7);
    Ok(())
}

#[test]
fn a_field_that_kubernetes_does_not_know_is_noticed() -> anyhow::Result<()> {
    let mut documents = built("k8s/overlays/production")?;
    let deployment = documents
        .iter_mut()
        .find(|document| document["kind"] == "Deployment")
        .context("there is one")?;
    check(deployment)?;
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = json!(45);
    let refused = check(deployment).expect_err("it is no field");
    assert!(format!("{refused:#}").contains("terminationGracePeriod"));
    Ok(())
}

#[test]
fn no_secret_is_committed_for_a_production() -> anyhow::Result<()> {
    let documents = built("k8s/overlays/production")?;
    assert!(
        documents
            .iter()
            .all(|document| document["kind"] != "Secret")
    );
    for container in containers(&documents)?.values() {
        for variable in container.env.iter().flatten() {
            let is_secret = ["TOKEN", "SECRET", "DATABASE_URL", "NATS_URL", "REDIS_URL"];
            if is_secret.iter().any(|part| variable.name.contains(part)) {
                assert!(variable.value.is_none(), "{}", variable.name);
            }
        }
    }
    Ok(())
}

#[test]
fn every_setting_that_is_set_exists_and_the_example_lists_them_all() -> anyhow::Result<()> {
    let names = setting_names()?;
    let mut used = BTreeSet::new();
    for overlay in ["k8s/overlays/production", "k8s/overlays/demo"] {
        let documents = built(overlay)?;
        for container in containers(&documents)?.into_values() {
            if ["ingest", "fanout"].contains(&container.name.as_str()) {
                used.extend(container.env.into_iter().flatten().map(|one| one.name));
            }
        }
        let maps = documents.iter().filter(|document| {
            document["kind"] == "ConfigMap" && document["metadata"]["name"] == "discord-stream"
        });
        used.extend(
            maps.filter_map(|map| map["data"].as_object())
                .flat_map(|data| data.keys().cloned()),
        );
    }
    let compose = compose()?;
    for service in ["ingest-1", "fanout-1"] {
        let environment = compose["services"][service]["environment"].as_object();
        used.extend(environment.context("it has settings")?.keys().cloned());
    }
    for name in &used {
        assert!(is_known(&names, name), "{name} is no setting");
    }
    assert!(used.len() > 15, "{used:?}");
    let example = read("deploy/.env.example")?;
    let listed: BTreeSet<_> = example
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, _)| name.to_owned())
        .collect();
    let of_compose = [
        "INGEST_PASSWORD",
        "FANOUT_PASSWORD",
        "DATABASE_PASSWORD",
        "HTTP_PORT",
        "COMPOSE_SUBNET",
    ];
    let theirs: BTreeSet<_> = listed
        .iter()
        .filter(|name| !of_compose.contains(&name.as_str()))
        .cloned()
        .collect();
    assert_eq!(theirs, names, "deploy/.env.example lists every setting");
    Ok(())
}

#[test]
fn a_pod_has_time_to_drain() -> anyhow::Result<()> {
    for document in built("k8s/overlays/production")? {
        if document["kind"] == "Deployment" && document["metadata"]["name"] == "fanout" {
            let grace =
                document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
            // SHUTDOWN_GRACE_MS and DRAIN_SECONDS of the base, and what the process takes beyond.
            assert!(grace >= Some(5 + 20 + 15), "{grace:?}");
            return Ok(());
        }
    }
    bail!("there is no fanout")
}

/// Starts a binary of ours, without anything that it needs, on a port, and asks it for a path.
async fn served(name: &str, port: u16, paths: &BTreeSet<String>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = program(name)?;
    command
        .current_dir(folder.path())
        .env("PORT", port.to_string())
        .env("METRICS_PORT", "0")
        .env("JWT_SECRET", tests::world::JWT_SECRET)
        .env("DISCORD_BOT_TOKEN", "nobody")
        .env("NATS_URL", "nats://127.0.0.1:1")
        .env(
            "DATABASE_URL",
            format!("sqlite://{}", folder.path().join("store.db").display()),
        );
    let _service = Process::start(name, command)?;
    let http = reqwest::Client::new();
    for path in paths {
        let url = format!("http://127.0.0.1:{port}{path}");
        eventually("a probe's path is answered", async || {
            let answer = http.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status() != 404)
        })
        .await
        .with_context(|| format!("{name} {path}"))?;
    }
    let nowhere = http
        .get(format!("http://127.0.0.1:{port}/api/nowhere"))
        .send()
        .await?;
    anyhow::ensure!(nowhere.status() == 404, "{name} answers anything");
    Ok(())
}

#[tokio::test]
async fn probes_ask_for_what_the_binaries_serve() -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let containers = containers(&built("k8s/overlays/production")?)?;
    let defaults = [
        ("fanout", "fanout/src/settings.rs", 3001, 9464),
        ("ingest", "ingest/src/main.rs", 3002, 9465),
    ];
    for (name, source, port, metrics) in defaults {
        let container = &containers[name];
        let source = read(source)?;
        assert!(
            source.contains(&format!("\"PORT\", {port}")),
            "{name}'s port"
        );
        let ports: BTreeMap<_, _> = container
            .ports
            .iter()
            .flatten()
            .map(|one| (one.name.clone().unwrap_or_default(), one.container_port))
            .collect();
        let mut expected =
            BTreeMap::from([("http".to_owned(), port), ("metrics".to_owned(), metrics)]);
        if let Some(peers) = value_of(container, "PEER_PORT") {
            expected.insert("peers".to_owned(), peers.parse()?);
        }
        assert_eq!(ports, expected, "{name}");
        let probes = [
            &container.startup_probe,
            &container.liveness_probe,
            &container.readiness_probe,
        ];
        let mut paths = BTreeSet::new();
        for probe in probes {
            let get = probe.as_ref().and_then(|probe| probe.http_get.as_ref());
            let get = get.context("every probe asks by HTTP")?;
            let at = serde_json::to_value(&get.port)?;
            assert!(at == "http" || at == port, "{name}'s probe is at {at}");
            paths.extend(get.path.clone());
        }
        assert_eq!(paths.len(), 2, "{paths:?}");
        served(name, free_port(), &paths).await?;
    }
    Ok(())
}

/// What a container is told by the text itself.
fn value_of(container: &Container, name: &str) -> Option<String> {
    let mut variables = container.env.iter().flatten();
    variables.find(|one| one.name == name)?.value.clone()
}

#[test]
fn the_port_between_fanouts_is_for_fanouts_alone() -> anyhow::Result<()> {
    let documents = built("k8s/overlays/production")?;
    let containers = containers(&documents)?;
    assert!(value_of(&containers["fanout"], "PEER_PORT").is_some());
    assert_eq!(value_of(&containers["ingest"], "PEER_PORT"), None);
    let mut rules = 0;
    for document in &documents {
        let text = document.to_string();
        match document["kind"].as_str() {
            Some("Service" | "Ingress") => {
                assert!(!text.contains("peers") && !text.contains("3003"), "{text}");
            }
            Some("NetworkPolicy") => {
                let all = document["spec"]["ingress"].as_array();
                for rule in all.context("it has rules")? {
                    if rule["ports"].to_string().contains("peers") {
                        let labels = json!({ "app.kubernetes.io/name": "fanout" });
                        let from = json!([{ "podSelector": { "matchLabels": labels } }]);
                        assert_eq!(rule["from"], from);
                        assert_eq!(document["metadata"]["name"], "fanout");
                        rules += 1;
                    }
                    assert!(rule["ports"].is_array(), "a rule without ports is for all");
                }
            }
            _ => {}
        }
    }
    assert_eq!(rules, 1);
    Ok(())
}

/// The lines of the Dockerfile, continued ones in one.
fn dockerfile() -> anyhow::Result<Vec<String>> {
    let text = read("deploy/Dockerfile")?.replace("\\\n", " ");
    Ok(text.lines().map(str::to_owned).collect())
}

#[test]
fn the_image_is_made_from_what_is_there() -> anyhow::Result<()> {
    let lines = dockerfile()?;
    let ignored = read("deploy/Dockerfile.dockerignore")?;
    let mut sources = 0;
    let mut binaries = BTreeSet::new();
    for line in &lines {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["COPY", from, source, _] if from.starts_with("--from=") => {
                let binary = source.rsplit('/').next().unwrap_or_default();
                program(binary).with_context(|| line.clone())?;
                binaries.insert(binary.to_owned());
            }
            ["COPY", all @ .., _] => {
                for source in all {
                    assert!(root().join(source).exists(), "{source} is not there");
                    assert!(
                        ignored.contains(&format!("!{source}")),
                        "{source} is ignored"
                    );
                    sources += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!(sources, 8);
    let ours = ["discord-sim", "discord-stream", "fanout", "ingest"];
    assert_eq!(binaries, ours.map(str::to_owned).into());
    let build = lines.iter().find(|line| line.contains("cargo build"));
    let build = build.context("it builds")?;
    for binary in &binaries {
        assert!(
            build.contains(&format!("--bin {binary}")),
            "{binary} is not built"
        );
    }
    // What the workspace is made of must all be there, or cargo refuses it.
    for member in ["proto", "ingest", "fanout", "deploy/standalone", "tests"] {
        let line = format!("COPY {member} {member}");
        assert!(lines.contains(&line), "{member} is not copied");
    }
    Ok(())
}

#[test]
fn health_checks_are_commands_of_the_binaries() -> anyhow::Result<()> {
    for line in dockerfile()? {
        if let Some((_, command)) = line
            .split_once("CMD ")
            .filter(|_| line.contains("HEALTHCHECK"))
        {
            let words: Vec<String> = serde_json::from_str(command)?;
            let [binary, argument] = words.as_slice() else {
                bail!("{command}")
            };
            let mut command = program(binary)?.into_std();
            let help = command.arg("--help").output()?;
            let help = String::from_utf8(help.stdout)?;
            assert!(
                help.contains(&format!("  {argument} ")),
                "{binary} {argument}"
            );
        }
    }
    Ok(())
}

fn compose() -> anyhow::Result<Value> {
    Ok(serde_saphyr::from_str(&read("deploy/compose.yaml")?)?)
}

async fn compose_errors(compose: &Value) -> anyhow::Result<Vec<Value>> {
    let result = Client::start("compose.mjs", compose)?.result().await?;
    let errors = result["errors"].as_array().context("it says its errors")?;
    assert_eq!(result["valid"], errors.is_empty());
    Ok(errors.clone())
}

#[tokio::test]
async fn compose_is_what_its_specification_allows() -> anyhow::Result<()> {
    let mut compose = compose()?;
    let errors = compose_errors(&compose).await?;
    assert!(errors.is_empty(), "{errors:?}");
    compose["services"]["nats"]["restrat"] = json!("always");
    assert!(!compose_errors(&compose).await?.is_empty());
    Ok(())
}

#[test]
fn compose_names_what_is_there() -> anyhow::Result<()> {
    let compose = compose()?;
    let services = compose["services"].as_object().context("it has services")?;
    let names: BTreeSet<_> = services.keys().map(String::as_str).collect();
    let expected = [
        "balancer", "fanout-1", "fanout-2", "ingest-1", "ingest-2", "mariadb", "nats", "redis",
    ];
    assert_eq!(names, expected.into());
    let stages = dockerfile()?.join("\n");
    let nginx = read("deploy/nginx.conf")?;
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().and_then(|text| text.split(':').next());
            let source = source.context("a volume is text")?;
            if source.starts_with('.') {
                assert!(root().join("deploy").join(source).is_file(), "{source}");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{source}");
            }
        }
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(needed.0), "{name} needs {}", needed.0);
        }
        if let Some(target) = service["build"]["target"].as_str() {
            assert!(stages.contains(&format!(" AS {target}\n")), "{target}");
        }
        if name.starts_with("fanout") {
            assert!(
                nginx.contains(&format!("server {name}:3001")),
                "{name} is balanced"
            );
        }
    }
    let own = read("deploy/nats.conf")?;
    assert_eq!(
        own,
        read("k8s/overlays/demo/nats.conf")?,
        "one NATS configuration in two places"
    );
    Ok(())
}
