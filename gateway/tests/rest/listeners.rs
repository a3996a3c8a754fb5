//! Sockets: silent ones, too many, TLS, and the end of the gateway.

use std::sync::Arc;
use std::time::Duration;

use gateway::config::TlsFiles;
use gateway::{Connector, Gateway, StartError};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::bench::{Bench, config};
use crate::http::{Reply, read_all, send};
use crate::orchestrator::Orchestrator;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn five_hundred_that_say_nothing_are_closed_and_nobody_else_notices() {
    let config = gateway::Config {
        head_patience: Duration::from_millis(500),
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let mut silent = Vec::new();
    for n in 0..500 {
        let mut socket = TcpStream::connect(bench.address).await.unwrap();
        if n % 2 == 0 {
            socket.write_all(b"GET / HT").await.unwrap();
        }
        silent.push(socket);
    }
    assert_eq!(bench.get("/v1/workers").await.status, 200);
    for socket in &mut silent {
        let mut byte = [0];
        let end = timeout(LONG, socket.read(&mut byte))
            .await
            .expect("it is closed in time");
        assert!(matches!(end, Ok(0) | Err(_)));
    }
    assert_eq!(bench.get("/v1/workers").await.status, 200);
}

#[tokio::test]
async fn a_connection_that_is_kept_and_says_nothing_more_is_closed() {
    let config = gateway::Config {
        head_patience: Duration::from_millis(200),
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let mut socket = TcpStream::connect(bench.address).await.unwrap();
    socket
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let bytes = timeout(LONG, read_all(&mut socket))
        .await
        .expect("it is closed in time");
    assert_eq!(Reply::parse(&bytes).status, 200);
}

#[tokio::test]
async fn connections_over_the_cap_are_told_so_and_find_a_place_later() {
    let config = gateway::Config {
        max_connections: 3,
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut socket = TcpStream::connect(bench.address).await.unwrap();
        // Answered, so it has its place.
        socket
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        socket.read_exact(&mut [0; 12]).await.unwrap();
        held.push(socket);
    }
    let mut over = TcpStream::connect(bench.address).await.unwrap();
    let reply = Reply::parse(&read_all(&mut over).await);
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(reply.json()["type"], "/problems/over-capacity");
    held.pop();
    loop {
        let mut socket = TcpStream::connect(bench.address).await.unwrap();
        let reply = send("GET", "/metrics")
            .over(&mut socket, bench.address)
            .await;
        if reply.status == 200 {
            let text = reply.text();
            assert!(text.contains("autofarm_gateway_connections 3"), "{text}");
            break;
        }
    }
}

#[tokio::test]
async fn heads_over_the_bound_are_refused() {
    let bench = Bench::start().await;
    let long = send(
        "GET",
        format!("/v1/simulations?cursor={}", "x".repeat(100_000)),
    );
    let reply = long.to(bench.address).await;
    assert!([414, 431].contains(&reply.status), "{}", reply.status);
    let mut many = send("GET", "/healthz");
    for n in 0..200 {
        many = many.header(&format!("X-{n}"), "x");
    }
    assert_eq!(many.to(bench.address).await.status, 431);
    let mut socket = TcpStream::connect(bench.address).await.unwrap();
    socket
        .write_all(b"\x16\x03\x01 nonsense\r\n\r\n")
        .await
        .unwrap();
    let bytes = timeout(LONG, read_all(&mut socket))
        .await
        .expect("it is closed in time");
    assert_eq!(Reply::parse(&bytes).status, 400);
    assert_eq!(bench.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn tls_is_served_with_the_given_certificate_and_silence_in_it_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: directory.path().join("cert.pem"),
        key: directory.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let config = gateway::Config {
        tls: Some(files),
        handshake_patience: Duration::from_millis(300),
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let mut silent = TcpStream::connect(bench.address).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(bench.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").unwrap();
    let mut socket = connector.connect(name, socket).await.expect("a handshake");
    let reply = send("GET", "/v1/workers")
        .over(&mut socket, bench.address)
        .await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("strict-transport-security").is_some());
    let ended = timeout(LONG, read_all(&mut silent))
        .await
        .expect("it is closed in time");
    assert!(ended.is_empty());
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_named() {
    let orchestrator = Orchestrator::start(Vec::new());
    let start = async |config| {
        let connector = Connector::Memory(orchestrator.hub.clone());
        Gateway::start(config, connector)
            .await
            .err()
            .expect("it does not start")
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = start(gateway::Config {
        listen: vec![address],
        ..config()
    })
    .await;
    assert!(
        error
            .to_string()
            .starts_with(&format!("listen: {address}: ")),
        "{error}"
    );
    assert!(matches!(
        start(gateway::Config {
            listen: vec![],
            ..config()
        })
        .await,
        StartError::NoAddress
    ));
    let files = TlsFiles {
        certificate: "/none/cert.pem".into(),
        key: "/none/key.pem".into(),
    };
    let error = start(gateway::Config {
        tls: Some(files),
        ..config()
    })
    .await;
    assert!(
        error.to_string().starts_with("tls-cert: /none/cert.pem: "),
        "{error}"
    );
    let error = start(gateway::Config {
        max_connections: 0,
        ..config()
    })
    .await;
    assert_eq!(
        error.to_string(),
        "max_connections: 0 is not from 1 to 65536"
    );
}

#[tokio::test]
async fn it_says_that_it_leaves_then_closes_its_listeners_then_its_connections() {
    let config = gateway::Config {
        leave_notice: Duration::from_secs(1),
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let mut kept = TcpStream::connect(bench.address).await.unwrap();
    kept.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut status = [0; 12];
    kept.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    bench.shut_down();
    while bench.get("/readyz").await.status == 200 {
        tokio::task::yield_now().await;
    }
    // It still serves whoever comes.
    assert_eq!(bench.get("/v1/workers").await.status, 200);
    timeout(LONG, read_all(&mut kept))
        .await
        .expect("idle connections are closed");
    let address = bench.address;
    timeout(LONG, bench.ended()).await.expect("it ends");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn it_ends_though_it_still_looks_for_its_database() {
    let nowhere = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", nowhere.path().join("not-there.db").display());
    let config = gateway::Config {
        database: Some(gateway::config::DatabaseLocation(url)),
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    bench.shut_down();
    timeout(LONG, bench.ended()).await.expect("it ends");
}
