//! The connections: accepted within a limit, served by hyper, drained at the end.

use crate::access::Peer;
use crate::stall::StallGuard;
use crate::{Gateway, PipelineView};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use ports::EventStream;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What hyper may buffer of a connection's input: bounds the size of a request's head, and the memory of a connection.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// How long to wait after the system had no file descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `shutdown` completes, then finishes the requests that are under way, for at most
/// [`crate::Limits::drain_time`].
///
/// # Errors
/// When the listener's own address cannot be read. Whatever goes wrong with a connection ends that connection alone.
pub async fn serve<S, V>(
    listener: TcpListener,
    gateway: Gateway<S, V>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    S: EventStream + 'static,
    V: PipelineView + 'static,
{
    listener.local_addr()?;
    let gateway = Arc::new(gateway);
    let slots = Arc::new(Semaphore::new(gateway.limits.connections.min(Semaphore::MAX_PERMITS)));
    let draining = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (socket, local, slot) = tokio::select! {
            () = &mut shutdown => break,
            // Ended connections are taken out as they end, so that the set holds living ones only.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let served = draining.watch(connection(&gateway, socket, local));
        connections.spawn(async move {
            if let Err(error) = served.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(slot);
        });
    }
    gateway.event_streams.close();
    // Closed first, so that who comes now is refused at once instead of left waiting.
    drop(listener);
    if timeout(gateway.limits.drain_time, draining.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off at shutdown");
    }
    Ok(())
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            // Nobody closes this semaphore.
            return std::future::pending().await;
        };
        match listener.accept().await.and_then(|(socket, _)| socket.local_addr().map(|local| (socket, local))) {
            Ok((socket, local)) => {
                // An answer is one small write, and the next request waits for it.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                return (socket, local, slot);
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections just now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether an accept error tells of one connection that went away, rather than of this machine.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected)
}

fn connection<S, V>(
    gateway: &Arc<Gateway<S, V>>,
    socket: TcpStream,
    local: SocketAddr,
) -> impl GracefulConnection<Error = hyper::Error> + Send + use<S, V>
where
    S: EventStream + 'static,
    V: PipelineView + 'static,
{
    let peer = Peer(socket.peer_addr().ok());
    let io = TokioIo::new(StallGuard::new(socket, gateway.limits.write_stall_time));
    let header_time = gateway.limits.header_time;
    let gateway = Arc::clone(gateway);
    let service = service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer);
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(gateway.handle(request, local).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .serve_connection(io, service)
}
