//! The gateway under load: where it is, how a connection to it is opened, and plain HTTP/1.1 over one.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where Debian and most others keep the authorities that the system trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Longest wait for a connection, handshakes included.
pub(crate) const OPEN_PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for one answer.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// Largest body of an answer that is read.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Where a gateway is and how it is spoken to.
#[derive(Clone)]
pub(crate) struct Gateway {
    address: SocketAddr,
    /// As it stands in `Host`.
    authority: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    bearer: Option<HeaderValue>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// JSON, empty for none.
    pub(crate) body: String,
    /// Makes a repetition answer as the first one did.
    pub(crate) idempotency_key: Option<String>,
    /// The media type wanted.
    pub(crate) accept: &'static str,
}

/// One answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// Body.
    pub(crate) body: Bytes,
}

/// A connection of HTTP/1.1 that carries one request at a time.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    gateway: Arc<Gateway>,
}

impl Gateway {
    /// Looks the host up, once for the whole run, and reads the authorities to trust.
    ///
    /// # Errors
    /// What is wrong with the address, the token or the file.
    pub(crate) async fn find(
        url: &Uri,
        token: Option<&str>,
        ca: Option<&Path>,
    ) -> anyhow::Result<Gateway> {
        let authority = url.authority().context("the URL names no host")?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let secure = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => anyhow::bail!("the URL begins with neither http:// nor https://"),
        };
        let port = (authority.port_u16()).unwrap_or(if secure { 443 } else { 80 });
        let mut addresses = lookup_host((host.clone(), port))
            .await
            .with_context(|| format!("{host} is not known"))?;
        let address = addresses.next().context("the host has no address")?;
        let bearer = token
            .map(|token| HeaderValue::from_str(&format!("Bearer {token}")))
            .transpose()
            .context("the token is not one a header can carry")?;
        let tls = match secure {
            true => Some((connector(ca)?, ServerName::try_from(host)?)),
            false => None,
        };
        Ok(Gateway {
            address,
            authority: authority.as_str().to_owned(),
            tls,
            bearer,
        })
    }

    /// A connection of bytes, without Nagle's delay, and with a receive buffer of that size if one is given.
    ///
    /// # Errors
    /// Where it could not be opened within [`OPEN_PATIENCE`].
    pub(crate) async fn open(&self, receive_buffer_bytes: Option<u32>) -> io::Result<Wire> {
        let opening = async {
            let socket = match self.address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(bytes) = receive_buffer_bytes {
                socket.set_recv_buffer_size(bytes)?;
            }
            let tcp = socket.connect(self.address).await?;
            tcp.set_nodelay(true)?;
            Ok(match &self.tls {
                None => Wire::Plain(tcp),
                Some((connector, name)) => {
                    Wire::Tls(Box::new(connector.connect(name.clone(), tcp).await?))
                }
            })
        };
        timeout(OPEN_PATIENCE, opening).await?
    }

    /// A connection for requests.
    ///
    /// # Errors
    /// Where it could not be opened.
    pub(crate) async fn connect(self: &Arc<Self>) -> anyhow::Result<Connection> {
        let wire = TokioIo::new(self.open(None).await?);
        let (sender, driver) = http1::handshake(wire).await?;
        // Its end is seen by the next request on it.
        tokio::spawn(async move { drop(driver.await) });
        Ok(Connection {
            sender,
            gateway: Arc::clone(self),
        })
    }

    /// The request that asks for a WebSocket.
    ///
    /// # Errors
    /// Where the path is none.
    pub(crate) fn upgrade(
        &self,
        path: &str,
        subprotocol: &'static str,
    ) -> anyhow::Result<Request<()>> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let mut request = Request::builder()
            .uri(format!("{scheme}://{}{path}", self.authority))
            .header(HOST, &self.authority)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", subprotocol)
            .header(
                "sec-websocket-key",
                tokio_tungstenite::tungstenite::handshake::client::generate_key(),
            );
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        Ok(request.body(())?)
    }
}

fn connector(ca: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let path = ca.map_or_else(|| PathBuf::from(SYSTEM_AUTHORITIES), Path::to_owned);
    let shown = path.display();
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(&path).with_context(|| format!("authorities {shown}"))?;
    for certificate in certificates {
        // A system's file may hold some that this library does not take; the others count.
        let _ = roots.add(certificate.with_context(|| format!("authorities {shown}"))?);
    }
    anyhow::ensure!(!roots.is_empty(), "{shown} holds no usable authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Call {
    /// A read.
    pub(crate) fn get(path: String) -> Call {
        Call {
            method: Method::GET,
            path,
            body: String::new(),
            idempotency_key: None,
            accept: "application/json",
        }
    }

    /// A change, with a body of JSON where it is not empty.
    pub(crate) fn post(path: String, body: String, idempotency_key: String) -> Call {
        Call {
            method: Method::POST,
            body,
            idempotency_key: Some(idempotency_key),
            ..Call::get(path)
        }
    }

    /// A removal.
    pub(crate) fn delete(path: String) -> Call {
        Call {
            method: Method::DELETE,
            ..Call::get(path)
        }
    }
}

impl Connection {
    /// Whether another request can be sent on it.
    pub(crate) fn is_usable(&self) -> bool {
        self.sender.is_ready()
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// # Errors
    /// Where there was none within [`ANSWER_PATIENCE`], or the connection broke.
    pub(crate) async fn call(&mut self, call: &Call) -> anyhow::Result<Reply> {
        let request = self.request(call)?;
        let answering = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect();
            let body = body.await.map_err(|error| anyhow::anyhow!(error))?;
            anyhow::Ok(Reply {
                status,
                body: body.to_bytes(),
            })
        };
        let answer = timeout(ANSWER_PATIENCE, answering).await;
        answer.context("no answer in time")?
    }

    fn request(&self, call: &Call) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(HOST, &self.gateway.authority)
            .header(ACCEPT, call.accept);
        if let Some(bearer) = &self.gateway.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        Ok(request.body(Full::new(Bytes::from(call.body.clone())))?)
    }
}

/// The bytes of a connection, in plain text or by TLS.
pub(crate) enum Wire {
    /// TCP.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Wire::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Wire::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Wire::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Wire::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
