//! NATS: one server, or three as a cluster whose streams have three copies; and what an operator does to them.

use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::jetstream::ask;
use crate::nats_server::NatsServer;
use crate::port::free_port;

/// The streams that have three copies on a cluster: ours, and the two buckets.
const STREAMS: [&str; 3] = ["DISCORD", "KV_discord-ingest", "KV_discord-fanout"];

/// The servers.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) servers: Vec<NatsServer>,
}

impl Cluster {
    /// So many servers: 1, or 3 that know each other.
    pub(crate) fn start(count: usize) -> Self {
        if count == 1 {
            let servers = vec![NatsServer::start()];
            return Self { servers };
        }
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        let routes = routes.join(", ");
        let servers = ports.iter().map(|port| {
            let text = format!(
                "jetstream {{ store_dir: /data }}\n\
                 cluster {{ name: chaos, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n"
            );
            NatsServer::configured(&text, &[])
        });
        let servers = servers.collect();
        Self { servers }
    }

    /// Where clients find it, as `NATS_URL` says it.
    pub(crate) fn url(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(NatsServer::url).collect();
        urls.join(",")
    }

    /// The port of a server.
    pub(crate) fn port(&self, number: usize) -> anyhow::Result<u16> {
        let url = self.servers.get(number).context("there is one")?.url();
        Ok(url
            .rsplit_once(':')
            .context("a URL has a port")?
            .1
            .parse()?)
    }

    /// Gives every stream three copies, as the README tells an operator to.
    pub(crate) fn replicate(&self) -> anyhow::Result<()> {
        for stream in STREAMS {
            let replicas = json!(self.servers.len());
            self.edit(stream, |config| {
                config["num_replicas"] = replicas.clone();
            })?;
        }
        let until = Instant::now() + Duration::from_secs(20);
        while !STREAMS.iter().all(|stream| self.is_replicated(stream)) {
            anyhow::ensure!(Instant::now() < until, "the copies are not current in time");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn is_replicated(&self, stream: &str) -> bool {
        let Ok(info) = self.ask(&format!("STREAM.INFO.{stream}"), &Value::Null) else {
            return false;
        };
        let replicas = info["cluster"]["replicas"].as_array();
        replicas.is_some_and(|replicas| {
            replicas.len() + 1 == self.servers.len()
                && replicas.iter().all(|one| one["current"] == true)
        })
    }

    /// Changes a stream's settings, as `nats stream edit` does.
    pub(crate) fn edit(&self, stream: &str, change: impl Fn(&mut Value)) -> anyhow::Result<()> {
        let info = self.ask(&format!("STREAM.INFO.{stream}"), &Value::Null)?;
        let mut config = info["config"].clone();
        change(&mut config);
        let answer = self.ask(&format!("STREAM.UPDATE.{stream}"), &config)?;
        anyhow::ensure!(answer["error"].is_null(), "{stream}: {answer}");
        Ok(())
    }

    /// The stream's leader steps down.
    pub(crate) fn step_down(&self) -> anyhow::Result<()> {
        let answer = self.ask("STREAM.LEADER.STEPDOWN.DISCORD", &Value::Null)?;
        anyhow::ensure!(answer["error"].is_null(), "{answer}");
        Ok(())
    }

    /// What the stream says of itself.
    pub(crate) fn state(&self) -> anyhow::Result<Value> {
        let info = self.ask("STREAM.INFO.DISCORD", &Value::Null)?;
        Ok(info["state"].clone())
    }

    /// A server that follows and runs, by its number: the last one, as the first are asked.
    pub(crate) fn follower(&self) -> anyhow::Result<usize> {
        let info = self.ask("STREAM.INFO.DISCORD", &Value::Null)?;
        let leader = info["cluster"]["leader"].as_str().context("it has one")?;
        let ports = (0..self.servers.len()).map(|number| self.port(number));
        let ports = ports.collect::<anyhow::Result<Vec<_>>>()?;
        let follows = |port: &u16| {
            let runs = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok();
            runs && !leader.ends_with(&format!("-{port}"))
        };
        ports.iter().rposition(follows).context("one follows")
    }

    /// Asks the JetStream API, of whichever server answers.
    pub(crate) fn ask(&self, subject: &str, payload: &Value) -> anyhow::Result<Value> {
        let mut last = None;
        for number in 0..self.servers.len() {
            match self
                .port(number)
                .and_then(|port| ask(port, subject, payload))
            {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        bail!("{subject}: {last:?}")
    }
}
