//! A way to a server that can be cut as a machine goes that loses its power: no connection ends.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Another address of this database, through which nothing comes any more, either way, once it is cut.
pub(crate) async fn way_to(url: &str) -> (String, watch::Sender<bool>) {
    let address = url.split(['@', '/']).nth(3).unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = url.replace(&address, &listener.local_addr().unwrap().to_string());
    let (is_cut, cut) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&address).await.unwrap();
            let mut cut = cut.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    () = async { drop(cut.wait_for(|is_cut| *is_cut).await) } => {
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    (way, is_cut)
}
