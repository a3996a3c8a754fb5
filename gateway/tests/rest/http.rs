//! An HTTP client that hides nothing: one request a connection, bytes as they are.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The answer in these bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Reply {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).expect("heads are text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply {
            status: status.expect("a status line").parse().expect("a status"),
            headers,
            body: bytes[end + 4..].to_vec(),
        };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = unchunk(&reply.body);
        }
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Checks that it is a problem of a kind, and gives it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.text()
        );
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        problem
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes
            .windows(2)
            .position(|w| w == b"\r\n")
            .expect("a chunk's length");
        let len = std::str::from_utf8(&bytes[..end]).expect("hex");
        let len = usize::from_str_radix(len.trim(), 16).expect("hex");
        if len == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + len]);
        bytes = &bytes[end + 2 + len + 2..];
    }
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

pub(crate) fn send(method: &'static str, path: impl Into<String>) -> Send {
    Send {
        method,
        path: path.into(),
        headers: Vec::new(),
        body: None,
    }
}

impl Send {
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Send {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn json(self, json: &Value) -> Send {
        self.body(json.to_string())
            .header("Content-Type", "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Send {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn token(self, token: &str) -> Send {
        self.header("Authorization", format!("Bearer {token}"))
    }

    fn bytes(&self, to: SocketAddr) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nConnection: close\r\n",
            self.method, self.path
        );
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            head += &format!("Host: {to}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }

    pub(crate) async fn to(&self, to: SocketAddr) -> Reply {
        let mut socket = TcpStream::connect(to).await.expect("the gateway listens");
        self.over(&mut socket, to).await
    }

    pub(crate) async fn over<S>(&self, socket: &mut S, to: SocketAddr) -> Reply
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // A refusal may come, and the connection be closed, before all is sent.
        let _ = socket.write_all(&self.bytes(to)).await;
        Reply::parse(&read_all(socket).await)
    }
}

/// All bytes until the other end closes, one way or another.
pub(crate) async fn read_all(socket: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while let Ok(n) = socket.read(&mut part).await
        && n > 0
    {
        bytes.extend_from_slice(&part[..n]);
    }
    bytes
}

impl Send {
    /// As [`Send::to`], for a task of its own.
    pub(crate) async fn answered_by(self, to: SocketAddr) -> Reply {
        self.to(to).await
    }
}
