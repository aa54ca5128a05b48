//! A load balancer of a few lines: each connection goes, byte for byte, to the next instance that takes it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A running balancer; dropped, it ends with its connections.
#[derive(Debug)]
pub(crate) struct Balancer {
    address: SocketAddr,
    instances: Arc<Instances>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Instances {
    ports: Mutex<Vec<u16>>,
    next: AtomicUsize,
    is_cut: watch::Sender<bool>,
}

impl Balancer {
    /// Listens on a free port, for nobody yet.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let instances = Arc::<Instances>::default();
        let task = tokio::spawn(serve(listener, instances.clone())).abort_handle();
        Ok(Self {
            address,
            instances,
            task,
        })
    }

    /// One more instance, on this port.
    pub(crate) fn add(&self, port: u16) {
        let ports = self.instances.ports.lock();
        ports.unwrap_or_else(PoisonError::into_inner).push(port);
    }

    /// Cuts every connection, and each new one too, until [`Self::mend`].
    pub(crate) fn cut(&self) {
        self.instances.is_cut.send_replace(true);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.instances.is_cut.send_replace(false);
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, instances: Arc<Instances>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let instances = instances.clone();
        let mut is_cut = instances.is_cut.subscribe();
        connections.spawn(async move {
            tokio::select! {
                biased;
                _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                () = carry(client, &instances) => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, instances: &Instances) {
    let Some(mut instance) = instances.connect().await else {
        return;
    };
    // Either side may go whenever it likes: that is what the tests are about.
    drop(copy_bidirectional(&mut client, &mut instance).await);
}

impl Instances {
    /// The next instance that takes a connection.
    async fn connect(&self) -> Option<TcpStream> {
        let ports = self
            .ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for _ in 0..ports.len() {
            let turn = self.next.fetch_add(1, Relaxed) % ports.len();
            let port = ports.get(turn).copied()?;
            if let Ok(instance) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                return Some(instance);
            }
        }
        None
    }
}
