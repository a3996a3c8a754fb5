//! A way to a host on which every datagram takes its time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::loopback::any;

/// As large as any datagram.
const MAX_DATAGRAM: usize = 1 << 16;

/// Carries the datagrams of one client to a host and back, until it is dropped.
pub(crate) struct SlowWay {
    /// Where the client finds it.
    pub(crate) at: SocketAddr,
    _tasks: JoinSet<()>,
}

impl SlowWay {
    /// To a host, so long in each direction.
    pub(crate) async fn to(host: SocketAddr, delay: Duration) -> SlowWay {
        let front = Arc::new(UdpSocket::bind(any()).await.unwrap());
        let back = Arc::new(UdpSocket::bind(any()).await.unwrap());
        let at = front.local_addr().unwrap();
        let (there, going) = mpsc::unbounded_channel();
        let (home, coming) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(carry(going, back.clone()));
        tasks.spawn(carry(coming, front.clone()));
        tasks.spawn(async move {
            let (mut asked, mut answered) = (vec![0; MAX_DATAGRAM], vec![0; MAX_DATAGRAM]);
            let mut client = None;
            loop {
                tokio::select! {
                    got = front.recv_from(&mut asked) => {
                        let (len, from) = got.unwrap();
                        client = Some(from);
                        let _ = there.send((Instant::now() + delay, host, asked[..len].to_vec()));
                    }
                    got = back.recv_from(&mut answered) => {
                        let (len, _) = got.unwrap();
                        let to = client.expect("who is answered has asked");
                        let _ = home.send((Instant::now() + delay, to, answered[..len].to_vec()));
                    }
                }
            }
        });
        SlowWay { at, _tasks: tasks }
    }
}

/// Sends what is queued, each datagram when it is due.
async fn carry(
    mut queue: mpsc::UnboundedReceiver<(Instant, SocketAddr, Vec<u8>)>,
    socket: Arc<UdpSocket>,
) {
    while let Some((due, to, datagram)) = queue.recv().await {
        sleep_until(due).await;
        let _ = socket.send_to(&datagram, to).await;
    }
}
