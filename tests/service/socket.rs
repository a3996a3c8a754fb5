//! A client of a live stream in JSON.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

/// Longest wait for a message.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream, and what came of it.
pub(crate) struct Socket {
    socket: WebSocket<TcpStream>,
    seen: Vec<Value>,
}

/// What comes of a stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    /// A message.
    Message(Value),
    /// Its end, with this code.
    Closed(u16),
    /// The connection's end, without a word.
    Lost,
}

impl Socket {
    /// Opens a stream that must be opened.
    pub(crate) fn open(address: &str, path: &str) -> Socket {
        Socket::try_open(address, path).expect("the stream is opened")
    }

    /// Opens a stream; `None` where nobody answers, or with a refusal.
    pub(crate) fn try_open(address: &str, path: &str) -> Option<Socket> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let url = format!("ws://{address}{path}");
        let request = url.into_client_request().expect("a request");
        let (socket, _) = client(request, stream).ok()?;
        let seen = Vec::new();
        Some(Socket { socket, seen })
    }

    /// The next message, or the end.
    pub(crate) fn next(&mut self) -> Received {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    self.seen.push(message.clone());
                    return Received::Message(message);
                }
                Ok(Message::Close(frame)) => {
                    return Received::Closed(frame.map_or(1005, |frame| frame.code.into()));
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came in {PATIENCE:?}")
                }
                Err(_) => return Received::Lost,
            }
        }
    }

    /// The next message of a type.
    pub(crate) fn next_of(&mut self, of: &str) -> Value {
        loop {
            match self.next() {
                Received::Message(message) if message["type"] == of => return message,
                Received::Message(_) => {}
                end => panic!("{end:?} before a message of the type {of}"),
            }
        }
    }

    /// Reads to the end; answers what it was.
    pub(crate) fn until_the_end(&mut self) -> Received {
        loop {
            match self.next() {
                Received::Message(_) => {}
                end => return end,
            }
        }
    }

    /// The last message of a type that came.
    pub(crate) fn last_of(&self, of: &str) -> Option<&Value> {
        self.seen.iter().rev().find(|message| message["type"] == of)
    }
}
