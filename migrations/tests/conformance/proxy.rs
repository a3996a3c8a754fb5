//! A way to a server that falls silent or slow: its connections stand, and nothing, or everything late, comes through them.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passes {
    /// All.
    All,
    /// Nothing.
    Nothing,
    /// The beginning of a transaction, and nothing that follows it on that connection.
    Begin,
    /// All that is sent to the server, so much later.
    Late(Duration),
}

/// Carries connections to a server, until it is dropped.
pub(crate) struct Proxy {
    /// The URL with this in the place of the server.
    pub(crate) url: String,
    passes: watch::Sender<Passes>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// A way to the server of a URL.
    pub(crate) async fn to(url: &str) -> Proxy {
        let (_, rest) = url.split_once('@').expect("a URL with a user");
        let (server, _) = rest.split_once('/').expect("a URL that names a database");
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let url = url.replacen(&server, &address, 1);
        let passes = watch::Sender::new(Passes::All);
        let watched = passes.subscribe();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut carrying = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                carrying.spawn(carry(from_client, to_server, watched.clone(), Side::Client));
                carrying.spawn(carry(from_server, to_client, watched.clone(), Side::Server));
            }
        });
        Proxy {
            url,
            passes,
            _accepting: accepting,
        }
    }

    /// From now on only this comes through.
    pub(crate) fn let_pass(&self, passes: Passes) {
        self.passes.send_replace(passes);
    }
}

/// Whose bytes are carried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Carries what comes through; the rest waits, in its order.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passes: watch::Receiver<Passes>,
    side: Side,
) {
    let mut piece = vec![0; 1 << 16];
    let mut has_begun = false;
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        let piece = &piece[..len];
        let is_let_through = |passes: &Passes| match passes {
            Passes::All | Passes::Late(_) => true,
            Passes::Nothing => false,
            Passes::Begin => !has_begun,
        };
        let Ok(now) = passes.wait_for(is_let_through).await.map(|now| *now) else {
            return;
        };
        if let (Passes::Late(by), Side::Client) = (now, side) {
            // This is what is tested.
            tokio::time::sleep(by).await;
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
        has_begun |= piece.windows(5).any(|word| word == b"BEGIN");
    }
}
