//! Bodies that are refused before they were read: who sends them gets to the answer.

use std::time::{Duration, Instant};

use gateway::limits::{LEFTOVER_PATIENCE, MAX_LEFTOVER_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::bench::{Bench, config};
use crate::http::{Reply, read_all};

const LONG: Duration = Duration::from_secs(20);

fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: {length}\r\n\r\n"
    )
}

/// First sends and then reads, as most libraries do; slowly, so that what is refused is refused before.
async fn send_slowly(socket: &mut TcpStream, body: &[u8]) {
    for part in body.chunks(256 << 10) {
        socket.write_all(part).await.expect("it is taken");
        tokio::task::yield_now().await;
    }
}

/// The answer of a connection that goes on.
async fn answer(socket: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let n = timeout(LONG, socket.read(&mut part))
            .await
            .expect("in time");
        let n = n.expect("it is not reset");
        assert!(n > 0, "it ends before the answer");
        bytes.extend_from_slice(&part[..n]);
        // Every body here is one object of JSON, or text with one line.
        if bytes.ends_with(b"}\n") || bytes.ends_with(b"ok\n") {
            return Reply::parse(&bytes);
        }
    }
}

#[tokio::test]
async fn a_body_twice_too_large_is_sent_to_its_end_and_the_refusal_is_read() {
    let bench = Bench::start().await;
    let mut socket = TcpStream::connect(bench.address).await.unwrap();
    let body = vec![b' '; 2 << 20];
    let head = head("/v1/simulations", body.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    send_slowly(&mut socket, &body).await;
    let refused = answer(&mut socket).await;
    refused.problem(413, "body-too-large");
    // The connection is as good as before.
    let next = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write_all(next).await.unwrap();
    assert_eq!(answer(&mut socket).await.status, 200);
}

#[tokio::test]
async fn a_body_without_a_token_or_a_route_is_sent_to_its_end_too() {
    let locked = gateway::Config {
        require_tokens: true,
        ..config()
    };
    let bench = Bench::with(locked, Vec::new()).await;
    let body = vec![b' '; 2 << 20];
    for (path, status, slug) in [
        ("/v1/simulations", 401, "unauthorized"),
        ("/v1/nothing", 404, "no-such-route"),
    ] {
        let mut socket = TcpStream::connect(bench.address).await.unwrap();
        let head = head(path, body.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        send_slowly(&mut socket, &body).await;
        answer(&mut socket).await.problem(status, slug);
    }
}

#[tokio::test]
async fn what_is_left_is_bounded_in_time_and_bytes() {
    let bench = Bench::start().await;
    let mut silent = TcpStream::connect(bench.address).await.unwrap();
    let announced = head("/v1/simulations", 2 << 20);
    silent.write_all(announced.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let bytes = timeout(LONG, read_all(&mut silent))
        .await
        .expect("it is closed");
    Reply::parse(&bytes).problem(413, "body-too-large");
    let took = begun.elapsed();
    assert!(
        took < LEFTOVER_PATIENCE + Duration::from_secs(2),
        "{took:?}"
    );

    let mut endless = TcpStream::connect(bench.address).await.unwrap();
    let announced = head("/v1/simulations", usize::MAX >> 1);
    endless.write_all(announced.as_bytes()).await.unwrap();
    let part = vec![b' '; 1 << 20];
    let mut sent = 0;
    while endless.write_all(&part).await.is_ok() {
        sent += part.len();
        // What the sockets of both sides hold comes on top.
        assert!(
            sent < MAX_LEFTOVER_BYTES + (64 << 20),
            "it is never cut off"
        );
    }
}

#[tokio::test]
async fn one_that_asks_before_it_sends_is_refused_without_being_told_to() {
    let bench = Bench::start().await;
    let mut socket = TcpStream::connect(bench.address).await.unwrap();
    let head = head("/v1/simulations", 2 << 20);
    let head = head.replace("Host:", "Expect: 100-continue\r\nHost:");
    socket.write_all(head.as_bytes()).await.unwrap();
    let refused = answer(&mut socket).await;
    refused.problem(413, "body-too-large");
}
