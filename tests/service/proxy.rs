//! A way to the database that a test can cut, or make longer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Passes connections on to a server.
pub(crate) struct Proxy {
    address: SocketAddr,
    way: Arc<Way>,
    /// While there is a way.
    accepting: Option<JoinHandle<()>>,
}

struct Way {
    server: String,
    is_cut: AtomicBool,
    delay_ms: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A way to the server of a URL.
    pub(crate) fn to(url: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let way = Arc::new(Way {
            server: host_of(url).to_owned(),
            is_cut: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let accepting = Some(accept(listener, &way));
        Proxy {
            address,
            way,
            accepting,
        }
    }

    /// The URL with this in the place of the server.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replacen(host_of(url), &self.address.to_string(), 1)
    }

    /// Ends every connection and refuses others.
    pub(crate) fn cut(&mut self) {
        self.way.is_cut.store(true, Ordering::SeqCst);
        if let Some(accepting) = self.accepting.take() {
            // It waits for somebody. That nobody is there would mean that it has ended.
            let _ = TcpStream::connect(self.address);
            accepting.join().expect("it accepts to its end");
        }
        let mut open = self.way.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            // The other side may have ended it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again.
    pub(crate) fn mend(&mut self) {
        self.way.is_cut.store(false, Ordering::SeqCst);
        let listener = TcpListener::bind(self.address).expect("its own port");
        self.accepting = Some(accept(listener, &self.way));
    }

    /// Every piece that is sent to the server comes so much later.
    pub(crate) fn delay(&self, delay: Duration) {
        let delay_ms = u64::try_from(delay.as_millis()).expect("no age");
        self.way.delay_ms.store(delay_ms, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

/// HOST:PORT of a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").expect("a URL").1;
    let rest = rest.split_once('/').expect("a URL with a database").0;
    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
}

fn accept(listener: TcpListener, way: &Arc<Way>) -> JoinHandle<()> {
    let way = Arc::clone(way);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            if way.is_cut.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            let server = TcpStream::connect(&way.server).expect("the server is there");
            let mut open = way.open.lock().unwrap_or_else(PoisonError::into_inner);
            for stream in [&client, &server] {
                stream.set_nodelay(true).expect("a socket");
                open.push(stream.try_clone().expect("a socket"));
            }
            drop(open);
            let (from_client, to_client) = (client.try_clone().expect("a socket"), client);
            let (from_server, to_server) = (server.try_clone().expect("a socket"), server);
            let delayed = Arc::clone(&way);
            std::thread::spawn(move || pass(from_client, to_server, Some(&delayed)));
            std::thread::spawn(move || pass(from_server, to_client, None));
        }
    })
}

/// Passes on what comes until one side ends.
fn pass(mut from: TcpStream, mut to: TcpStream, delayed: Option<&Way>) {
    let mut bytes = [0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let delay = delayed.map_or(0, |way| way.delay_ms.load(Ordering::SeqCst));
        // This is what is tested.
        std::thread::sleep(Duration::from_millis(delay));
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
