//! Where the other instances find this one: its address, told to the broker for a term and again before that ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use broker::Broker;
use proto::InstanceId;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::outcome::Counts;

/// How long an instance that died is still asked for.
const TERM: Duration = Duration::from_secs(30);

/// Twice within a term it may fail.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// After the broker did not take it: a pause from half of this up to all of it.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The bound of asking for the addresses of a broker's name.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// One instance's enrolment, for as long as there are sessions that the others may ask for.
#[derive(Debug)]
pub(crate) struct Enrolment {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) instance: InstanceId,
    pub(super) listening: SocketAddr,
    pub(super) brokers: Vec<(String, u16)>,
    pub(super) counts: Arc<Counts>,
    pub(super) stop: CancellationToken,
}

impl Enrolment {
    /// Enrols and renews until the last session has drained, and withdraws.
    pub(crate) async fn run(self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.keep() => {}
        }
        if let Err(error) = self.broker.withdraw(&self.instance).await {
            tracing::debug!(%error, "the other instances forget this one by the end of its term");
        }
    }

    async fn keep(&self) {
        let mut is_enrolled = true;
        loop {
            match self.enroll().await {
                Ok(()) => {
                    is_enrolled = true;
                    sleep(RENEW_EVERY).await;
                }
                Err(error) => {
                    self.counts.unenrolled.fetch_add(1, Relaxed);
                    if is_enrolled {
                        let error = &*error;
                        tracing::warn!(error, "the other instances can't find this one for now");
                    }
                    is_enrolled = false;
                    sleep(RETRY_EVERY.mul_f64(rand::random_range(0.5..=1.0))).await;
                }
            }
        }
    }

    async fn enroll(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let own = own_address(self.listening.ip(), &self.brokers).await?;
        let address = SocketAddr::new(own, self.listening.port());
        self.broker.enroll(&self.instance, address, TERM).await?;
        Ok(())
    }
}

/// The address that others on the broker's network reach this machine by. No setting names it: it is the one that the
/// system would send from towards the broker, which is the pod's own in Kubernetes and the container's in compose.
/// Connecting a socket of UDP asks the system for exactly that, and sends nothing. An instance that listens on one
/// address alone is there, and without a broker elsewhere all are on this machine.
async fn own_address(listening: IpAddr, brokers: &[(String, u16)]) -> io::Result<IpAddr> {
    if !listening.is_unspecified() {
        return Ok(listening);
    }
    let mut failed = None;
    for (host, port) in brokers {
        match route_to(listening, host, *port).await {
            Ok(own) => return Ok(own),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(Ipv4Addr::LOCALHOST.into()), Err)
}

async fn route_to(listening: IpAddr, host: &str, port: u16) -> io::Result<IpAddr> {
    let found = timeout(LOOKUP_PATIENCE, lookup_host((host, port))).await??;
    let is_reachable = |address: &SocketAddr| address.is_ipv4() == listening.is_ipv4();
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "the broker has no such address");
    let broker = { found }.find(is_reachable).ok_or_else(unknown)?;
    let socket = UdpSocket::bind((listening, 0)).await?;
    socket.connect(broker).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn own(listening: &str, brokers: &[&str]) -> io::Result<String> {
        let brokers: Vec<_> = brokers
            .iter()
            .map(|host| ((*host).to_owned(), 4222))
            .collect();
        let own = own_address(listening.parse().unwrap(), &brokers).await?;
        Ok(own.to_string())
    }

    #[tokio::test]
    async fn an_instance_is_where_it_listens_or_where_it_would_send_from() {
        assert_eq!(
            own("127.0.0.7", &["nowhere.invalid"]).await.unwrap(),
            "127.0.0.7"
        );
        assert_eq!(own("0.0.0.0", &[]).await.unwrap(), "127.0.0.1");
        assert_eq!(own("0.0.0.0", &["127.0.0.9"]).await.unwrap(), "127.0.0.1");
        let second = ["::1", "127.0.0.9"];
        assert_eq!(own("0.0.0.0", &second).await.unwrap(), "127.0.0.1");
        assert!(own("0.0.0.0", &["::1"]).await.is_err());
    }
}
