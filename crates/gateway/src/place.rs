//! One connection's place, and the bodies that tell it how far request and answer are.

use crate::answer::{Answer, AnswerBody};
use crate::places::{Phase, Places};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Request, Response};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// A connection's place; given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
}

impl Place {
    /// The place that [`Places::enter`] gave.
    pub fn new(places: &Arc<Places>, id: u64) -> Arc<Self> {
        Arc::new(Place { places: Arc::clone(places), id })
    }

    /// Bytes came from the client.
    pub fn received(&self) {
        self.change(|phase| if phase == Phase::Idle { Phase::Sending } else { phase });
    }

    /// Everything that was to be sent is sent.
    pub fn flushed(&self) {
        self.change(|phase| if phase == Phase::Flushing { Phase::Idle } else { phase });
    }

    /// The client takes nothing of the answer at present, or takes it again.
    pub fn set_unread(&self, is_unread: bool) {
        let now = Instant::now();
        self.places.change(self.id, now, |connection| connection.unread_since = is_unread.then_some(now));
    }

    /// A right key was shown.
    pub fn shows_key(&self) {
        self.places.shows_key(self.id, Instant::now());
    }

    /// The head of a request has come. Only while its body is waited for is the client slow: memory for the body may have
    /// to be waited for first, and an answer may need no body.
    pub fn request(self: &Arc<Self>, request: Request<hyper::body::Incoming>) -> Request<Incoming> {
        self.change(|_| Phase::Answering);
        request.map(|body| Incoming { body, place: Arc::clone(self) })
    }

    /// The answer is known; its body says when all of it is handed over.
    pub fn answer(self: &Arc<Self>, answer: Answer) -> Response<PlacedAnswer> {
        let phase = match answer.body() {
            AnswerBody::Whole(_) => Phase::Answering,
            AnswerBody::Parts(_) => Phase::Streaming,
        };
        self.change(|_| phase);
        answer.map(|body| PlacedAnswer { body, place: Arc::clone(self) })
    }

    fn change(&self, next: impl FnOnce(Phase) -> Phase) {
        let now = Instant::now();
        self.places.change(self.id, now, |connection| {
            let next = next(connection.phase);
            if next != connection.phase {
                (connection.phase, connection.since) = (next, now);
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(self.id);
    }
}

/// An answer's body; dropped when all of it is handed over.
pub(crate) struct PlacedAnswer {
    body: AnswerBody,
    place: Arc<Place>,
}

impl Drop for PlacedAnswer {
    fn drop(&mut self) {
        self.place.change(|_| Phase::Flushing);
    }
}

impl Body for PlacedAnswer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body, which says when it is waited for, and when all of it has come.
pub(crate) struct Incoming {
    body: hyper::body::Incoming,
    place: Arc<Place>,
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        match &frame {
            Poll::Pending => this.place.change(|_| Phase::Sending),
            Poll::Ready(None) => this.place.change(|_| Phase::Answering),
            Poll::Ready(Some(_)) if this.body.is_end_stream() => this.place.change(|_| Phase::Answering),
            // Since the first wait it has been slow, however often a little comes.
            Poll::Ready(Some(_)) => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
