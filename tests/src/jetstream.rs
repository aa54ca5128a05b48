//! JetStream's API as an operator's tool calls it: one request over a connection of its own
//! (<https://docs.nats.io/reference/reference-protocols/nats_api_reference>).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server on this port (`STREAM.INFO.DISCORD`); what it answers, errors of the API included.
pub(crate) fn ask(port: u16, subject: &str, payload: &Value) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let payload = if payload.is_null() {
        String::new()
    } else {
        payload.to_string()
    };
    let said = format!(
        "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB $JS.API.{subject} answer {}\r\n{payload}\r\n",
        payload.len()
    );
    stream.write_all(said.as_bytes())?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        anyhow::ensure!(reader.read_line(&mut line)? > 0, "the server hung up");
        if line.starts_with("MSG ") {
            let mut answer = String::new();
            reader.read_line(&mut answer)?;
            return Ok(serde_json::from_str(&answer)?);
        }
        anyhow::ensure!(!line.starts_with("-ERR"), "{line}");
    }
}
