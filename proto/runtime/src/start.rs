//! How a binary of ours starts and ends: one TLS provider, one exit code a kind of failure.

use std::process::ExitCode;

use crate::settings::SettingsError;

/// Exit code of a wrong setting or command line (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Says which code does TLS in this process. First in every main.
pub fn install_tls() {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider had been installed already");
    }
}

/// Reads the command line. The error is the code to exit with: what there is to say is printed already.
///
/// # Errors
/// A wrong command line, or one that asks for help or the version (then the code is 0).
pub fn parse<A: clap::Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        if error.print().is_err() || error.use_stderr() {
            return ExitCode::from(EXIT_USAGE);
        }
        ExitCode::SUCCESS
    })
}

/// The exit code of a result; an error is printed with its causes on standard error.
#[expect(
    clippy::print_stderr,
    reason = "the last words of a main, also where logging never began"
)]
pub fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error:#}");
    if error.is::<SettingsError>() {
        return ExitCode::from(EXIT_USAGE);
    }
    ExitCode::FAILURE
}

/// Asks a service on this machine for its health: what an image's HEALTHCHECK runs.
///
/// # Errors
/// It does not answer with 200 within 3 s: then it is unhealthy, or not there.
pub async fn probe(port: u16) -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let request = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        anyhow::Ok(head)
    };
    let head = tokio::time::timeout(std::time::Duration::from_secs(3), ask).await??;
    anyhow::ensure!(head == *b"HTTP/1.1 200", "the service is unhealthy");
    Ok(())
}
