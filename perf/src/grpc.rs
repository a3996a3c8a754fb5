//! What the two gRPC rivals share: the dispatch, one bidirectional method, and their tuning.
//!
//! Both are at their best here: one stream for the whole run, `TCP_NODELAY` on both ends, windows
//! wider than a tick, large HTTP/2 frames, messages encoded together into large chunks, buffers
//! reserved before encoding and decoded messages used again. Mutual TLS, which ours always has, is
//! theirs where certificates are given.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use anyhow::Context as _;
use prost::Message;
use tokio::sync::mpsc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, StreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use transport::certs::CertBundle;
use transport::identity::role_name;
use transport::link::Role;

/// Wider than the largest tick, so that no sender waits for a window.
const WINDOW_BYTES: u32 = 64 << 20;
const HTTP2_FRAME_BYTES: u32 = 1 << 20;
/// Messages are encoded together until this many bytes are ready.
const CHUNK_BYTES: usize = 256 << 10;
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const METHOD: &str = "/autofarm.perf.Exchange/Tick";

/// A tick's dispatch: mostly nothing but the tick.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Dispatch {
    /// The tick.
    #[prost(uint64, tag = "1")]
    pub(crate) tick: u64,
}

/// Messages that were read and may be decoded into again.
pub(crate) type Spares<M> = Arc<Mutex<Vec<M>>>;

/// Sends `B`, which lends a message `E`; receives `D`, into a spare one where there are any.
pub(crate) struct Wire<B, E, D> {
    spares: Option<Spares<D>>,
    types: PhantomData<fn(B, E) -> D>,
}

impl<B, E, D> Wire<B, E, D> {
    /// A codec that decodes into `spares`, where given.
    pub(crate) fn new(spares: Option<Spares<D>>) -> Self {
        Wire {
            spares,
            types: PhantomData,
        }
    }
}

impl<B, E, D> Codec for Wire<B, E, D>
where
    B: Borrow<E> + Send + 'static,
    E: Message + 'static,
    D: Message + Default + 'static,
{
    type Encode = B;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Wire::new(None)
    }

    fn decoder(&mut self) -> Self {
        Wire::new(self.spares.clone())
    }
}

impl<B, E, D> Encoder for Wire<B, E, D>
where
    B: Borrow<E>,
    E: Message,
{
    type Item = B;
    type Error = Status;

    fn encode(&mut self, item: B, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let message = item.borrow();
        into.reserve(message.encoded_len());
        message.encode_raw(into);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(CHUNK_BYTES, CHUNK_BYTES)
    }
}

impl<B, E, D> Decoder for Wire<B, E, D>
where
    D: Message + Default,
{
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let spare = self
            .spares
            .as_ref()
            .and_then(|s| s.lock().expect("never poisoned").pop());
        let mut message = spare.unwrap_or_default();
        message.clear();
        message
            .merge(from)
            .map_err(|e| Status::internal(e.to_string()))?;
        Ok(Some(message))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(CHUNK_BYTES, CHUNK_BYTES)
    }
}

/// Answers every dispatch with the messages that `answer` makes of it, in one stream.
pub(crate) struct Answers<F, I> {
    dispatches: Streaming<Dispatch>,
    answer: F,
    current: Option<I>,
}

impl<F, I> Unpin for Answers<F, I> {}

impl<F, I> Stream for Answers<F, I>
where
    F: Fn(Dispatch) -> I,
    I: Iterator,
{
    type Item = Result<I::Item, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(message) = self.current.as_mut().and_then(Iterator::next) {
                return Poll::Ready(Some(Ok(message)));
            }
            match ready!(Pin::new(&mut self.dispatches).poll_next(cx)) {
                Some(Ok(dispatch)) => self.current = Some((self.answer)(dispatch)),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// The service: one method, whose answers are messages `E` lent by what `answer` yields.
pub(crate) struct Exchange<E, F> {
    answer: F,
    message: PhantomData<fn() -> E>,
}

impl<E, F: Clone> Clone for Exchange<E, F> {
    fn clone(&self) -> Self {
        Exchange {
            answer: self.answer.clone(),
            message: PhantomData,
        }
    }
}

impl<E, F> NamedService for Exchange<E, F> {
    const NAME: &'static str = "autofarm.perf.Exchange";
}

impl<E, F, I> StreamingService<Dispatch> for Exchange<E, F>
where
    F: Fn(Dispatch) -> I + Clone + Send + Sync + 'static,
    I: Iterator + Send + 'static,
    I::Item: Borrow<E> + Send + 'static,
{
    type Response = I::Item;
    type ResponseStream = Answers<F, I>;
    type Future = std::future::Ready<Result<Response<Answers<F, I>>, Status>>;

    fn call(&mut self, request: Request<Streaming<Dispatch>>) -> Self::Future {
        std::future::ready(Ok(Response::new(Answers {
            dispatches: request.into_inner(),
            answer: self.answer.clone(),
            current: None,
        })))
    }
}

impl<E, F, I> Service<http::Request<tonic::body::Body>> for Exchange<E, F>
where
    E: Message + 'static,
    F: Fn(Dispatch) -> I + Clone + Send + Sync + 'static,
    I: Iterator + Send + 'static,
    I::Item: Borrow<E> + Send + Sync + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let codec = Wire::<I::Item, E, Dispatch>::new(None);
            Ok(tonic::server::Grpc::new(codec)
                .streaming(service, request)
                .await)
        })
    }
}

/// Serves `answer` on a free loopback port, on the runtime it is called on; with mutual TLS where
/// there are certificates.
pub(crate) fn serve<E, F, I>(answer: F, tls: Option<&CertBundle>) -> anyhow::Result<SocketAddr>
where
    E: Message + 'static,
    F: Fn(Dispatch) -> I + Clone + Send + Sync + 'static,
    I: Iterator + Send + 'static,
    I::Item: Borrow<E> + Send + Sync + 'static,
{
    let service: Exchange<E, F> = Exchange {
        answer,
        message: PhantomData,
    };
    let incoming =
        TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    let mut server = Server::builder();
    if let Some(certificates) = tls {
        let tls = ServerTlsConfig::new()
            .identity(identity(certificates, Role::Worker))
            .client_ca_root(Certificate::from_pem(&certificates.ca_pem));
        server = server.tls_config(tls)?;
    }
    let server = server
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .add_service(service)
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    Ok(address)
}

fn identity(certificates: &CertBundle, role: Role) -> Identity {
    let certified = (certificates.roles.iter())
        .find(|certified| certified.role == role)
        .expect("one a role");
    Identity::from_pem(&certified.certificate_pem, &certified.key_pem)
}

/// The driver's end of the one stream of a run.
pub(crate) struct Call<M> {
    dispatches: mpsc::Sender<Dispatch>,
    answers: Streaming<M>,
}

impl<M: Message + Default + 'static> Call<M> {
    /// Connects and opens the stream.
    pub(crate) async fn open(
        address: SocketAddr,
        tls: Option<&CertBundle>,
        spares: Option<Spares<M>>,
    ) -> anyhow::Result<Call<M>> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?;
        if let Some(certificates) = tls {
            let tls = ClientTlsConfig::new()
                .domain_name(role_name(Role::Worker))
                .identity(identity(certificates, Role::Orchestrator))
                .ca_certificate(Certificate::from_pem(&certificates.ca_pem));
            endpoint = endpoint.tls_config(tls)?;
        }
        let channel = endpoint
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES)
            .connect()
            .await?;
        let mut client =
            tonic::client::Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        client.ready().await?;
        let (dispatches, receiver) = mpsc::channel(1);
        let request = Request::new(Dispatches(receiver));
        let codec = Wire::<Dispatch, Dispatch, M>::new(spares);
        let method = http::uri::PathAndQuery::from_static(METHOD);
        let answers = client.streaming(request, method, codec).await?.into_inner();
        Ok(Call {
            dispatches,
            answers,
        })
    }

    /// Sends a tick's dispatch.
    pub(crate) async fn dispatch(&self, tick: u64) -> anyhow::Result<()> {
        Ok(self.dispatches.send(Dispatch { tick }).await?)
    }

    /// The next message of the answer.
    pub(crate) async fn next(&mut self) -> anyhow::Result<M> {
        self.answers
            .message()
            .await?
            .context("the worker ended its stream")
    }
}

/// A channel's receiver as the stream that a request is made of.
struct Dispatches(mpsc::Receiver<Dispatch>);

impl Stream for Dispatches {
    type Item = Dispatch;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Dispatch>> {
        self.0.poll_recv(cx)
    }
}

/// Bytes of a message in its stream, gRPC's prefix included.
pub(crate) fn framed(message: &impl Message) -> usize {
    const PREFIX_BYTES: usize = 5;
    PREFIX_BYTES + message.encoded_len()
}
