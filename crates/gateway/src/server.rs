//! The connections: let in, served by hyper, closed when places run short, drained at the end.

use crate::access::Peer;
use crate::place::Place;
use crate::places::{Order, Places};
use crate::stall::StallGuard;
use crate::{Gateway, PipelineView};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ports::EventStream;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What hyper may buffer of a connection's input: bounds the size of a request's head, and the memory of a connection.
/// API Gateway takes heads of 10 KiB.
const READ_BUFFER_BYTES_MAX: usize = 16 * 1024;

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
    let places = Places::new(&gateway.limits, Arc::clone(&gateway.limit_log));
    let mut connections = JoinSet::new();
    let (limit_log, limits) = (Arc::clone(&gateway.limit_log), gateway.limits.clone());
    let mut logging = pin!(limit_log.keep_writing(&limits));
    let mut shutdown = pin!(shutdown);
    loop {
        let (socket, local, peer) = tokio::select! {
            () = &mut shutdown => break,
            () = &mut logging => continue,
            // Ended connections are taken out as they end, so that the set holds living ones only.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let (id, orders) = places.enter(peer, Instant::now());
        let place = Place::new(&places, id);
        connections.spawn(connection(Arc::clone(&gateway), socket, local, Peer(peer), place, orders));
    }
    gateway.event_streams.close();
    // Closed first, so that a client that comes now is refused at once instead of left waiting.
    drop(listener);
    places.finish_all();
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(gateway.limits.drain_time, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off at shutdown");
    }
    limit_log.write(&limits);
    Ok(())
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, places: &Places) -> (TcpStream, SocketAddr, Option<SocketAddr>) {
    loop {
        places.free().await;
        match listener.accept().await.and_then(|(socket, peer)| socket.local_addr().map(|local| (socket, local, peer)))
        {
            Ok((socket, local, peer)) => {
                // An answer is one small write, and the next request waits for it.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                return (socket, local, Some(peer));
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections just now");
                places.give_up_one(Instant::now());
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

/// Serves one connection until it ends or is told to.
async fn connection<S, V>(
    gateway: Arc<Gateway<S, V>>,
    socket: TcpStream,
    local: SocketAddr,
    peer: Peer,
    place: Arc<Place>,
    mut orders: watch::Receiver<Order>,
) where
    S: EventStream + 'static,
    V: PipelineView + 'static,
{
    let io = TokioIo::new(StallGuard::new(socket, gateway.limits.write_stall_time, Arc::clone(&place)));
    let header_time = gateway.limits.header_time;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (gateway, place) = (Arc::clone(&gateway), Arc::clone(&place));
        async move {
            let request = place.request(request);
            if gateway.gatekeeper.shows_key(request.headers()) {
                place.shows_key();
            }
            let answer = gateway.handle(request, local).await;
            Ok::<_, Infallible>(place.answer(answer))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .serve_connection(io, service);
    let mut served = pin!(served);
    loop {
        tokio::select! {
            biased;
            // Read first: what is to be cut gets no answer that would then be cut.
            Ok(()) = orders.changed() => {
                let order = *orders.borrow_and_update();
                match order {
                    Order::Serve => {}
                    Order::Finish => served.as_mut().graceful_shutdown(),
                    Order::Cut => return,
                }
            }
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
        }
    }
}
