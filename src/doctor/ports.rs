//! Whether what is to listen can.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::finding::Finding;
use super::tls;

/// How long whoever has a port may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most of an answer that is read.
const MAX_ANSWER_BYTES: u64 = 4_096;

/// Of the API, which speaks HTTPS where `is_tls`.
pub(crate) fn tcp(address: SocketAddr, is_tls: bool) -> Finding {
    let found = format!("{address} (TCP, the API)");
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{found} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_gateway(address, is_tls) => {
            Finding::warning(
                "port",
                format!("{found} has an AutoFarm that runs already"),
                "nothing, if that one is meant; for another one beside it give another port with --listen, and another database with --data-dir",
            )
        }
        Err(error) => failed(&found, "--listen", address, &error),
    }
}

/// Of the link between the roles.
pub(crate) fn udp(address: SocketAddr) -> Finding {
    let found = format!("{address} (UDP, the roles' link)");
    match UdpSocket::bind(address) {
        Ok(_) => Finding::ok(
            "port",
            format!("{found} is free; that packets get there is not seen from here"),
        ),
        Err(error) => failed(
            &found,
            "--link, and --listen of the orchestrator",
            address,
            &error,
        ),
    }
}

fn failed(found: &str, flag: &str, address: SocketAddr, error: &std::io::Error) -> Finding {
    let port = address.port();
    let advice = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "see who has it with `ss -Hlnp sport = :{port}` and end that, or give another port with {flag}"
        ),
        ErrorKind::AddrNotAvailable => format!(
            "no network interface has this address: see `ip address`, and give one of those with {flag}; 0.0.0.0 and \
             [::] are all of them"
        ),
        ErrorKind::PermissionDenied => format!(
            "a port below 1024 needs a privilege: give a higher one with {flag}, or `setcap \
             cap_net_bind_service=+ep` the program"
        ),
        _ => format!("give another address with {flag}"),
    };
    Finding::failure(
        "port",
        format!("{found} cannot be listened on: {error}"),
        advice,
    )
}

/// Whether whoever listens there answers as a gateway does: one that runs may speak HTTPS where this one would.
fn is_gateway(address: SocketAddr, is_tls: bool) -> bool {
    let connect = || {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        std::io::Result::Ok(socket)
    };
    let plain = || connect().and_then(ask);
    let secret = || connect().and_then(tls::connect).and_then(ask);
    let is_its = |answer: String| {
        answer.starts_with("HTTP/1.1 200") && answer.to_lowercase().contains("x-request-id")
    };
    plain().is_ok_and(is_its) || (is_tls && secret().is_ok_and(is_its))
}

fn ask(mut stream: impl Read + Write) -> std::io::Result<String> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // What has come tells who it is, however it ends.
    let _ = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
