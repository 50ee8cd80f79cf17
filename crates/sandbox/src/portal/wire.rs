//! The listening side: connections that can be cut in the middle of an answer.
//!
//! A fault of the network has to look like one to the caller. An error response would be an answer; here the handler
//! marks its connection as severed, and the next write on it fails, so that the peer sees the connection close without
//! a byte.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// A listener whose connections can be cut.
pub(crate) struct Door {
    listener: TcpListener,
    closing: CancellationToken,
}

impl Door {
    pub(crate) fn new(listener: TcpListener, closing: CancellationToken) -> Self {
        Self { listener, closing }
    }
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Small answers would otherwise wait for the peer's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let severed = Arc::default();
                    return (
                        Wire {
                            stream,
                            severed,
                            closing: self.closing.clone(),
                        },
                        peer,
                    );
                }
                // Out of file descriptors or the like: give the others a moment to finish.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One accepted connection.
pub(crate) struct Wire {
    stream: TcpStream,
    severed: Arc<AtomicBool>,
    closing: CancellationToken,
}

impl Wire {
    fn broken(&self) -> bool {
        self.severed.load(Ordering::Acquire) || self.closing.is_cancelled()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What a handler knows of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    severed: Arc<AtomicBool>,
    /// The address the connection came in on: a renamed portal answers its old one with a redirect.
    pub(crate) local: Option<SocketAddr>,
}

impl Peer {
    /// Lets the connection fail at the next write.
    pub(crate) fn cut(&self) {
        self.severed.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        let wire = stream.io();
        Self {
            severed: wire.severed.clone(),
            local: wire.stream.local_addr().ok(),
        }
    }
}
