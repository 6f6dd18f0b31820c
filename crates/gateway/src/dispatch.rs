//! From a request to its answer.

use crate::access::require_local;
use crate::answer::{Answer, Refusal, bytes_answer, json};
use crate::body::discard;
use crate::page::Page;
use crate::place::Incoming;
use crate::route::{self, Access, Endpoint, Route};
use crate::{Gateway, PipelineView};
use hyper::header;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use ports::EventStream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl<S: EventStream + 'static, V: PipelineView + 'static> Gateway<S, V> {
    /// Answers one request that came in on `local`, an address of this server.
    pub(crate) async fn handle(self: &Arc<Self>, request: Request<Incoming>, local: SocketAddr) -> Answer {
        let (head, mut body) = request.into_parts();
        let answer = self.route(&head, &mut body, local).await.unwrap_or_else(Answer::from);
        // After a time-out nothing more is waited for: that connection is closed.
        if !answer.status().is_success() && answer.status() != StatusCode::REQUEST_TIMEOUT {
            discard(&mut body, &head.headers).await;
        }
        answer
    }

    async fn route(self: &Arc<Self>, head: &Parts, body: &mut Incoming, local: SocketAddr) -> Result<Answer, Refusal> {
        let route = route::find(head.uri.path())
            .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path"))?;
        if !route.has(&head.method) {
            let message = format!("{} takes {} only", route.path, route.allow());
            let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message);
            return Err(refusal.with_header(header::ALLOW, route.allow()));
        }
        let answer = self.call(route, head, body, local).await;
        let status = answer.as_ref().map_or_else(|refusal| refusal.status, Answer::status);
        debug_assert!(route.declares(status), "{} must not answer {status}", route.path);
        answer
    }

    async fn call(
        self: &Arc<Self>,
        route: &Route,
        head: &Parts,
        body: &mut Incoming,
        local: SocketAddr,
    ) -> Result<Answer, Refusal> {
        match route.access {
            Access::Open => {}
            Access::Page => self.gatekeeper.require_own_host(head, local)?,
            Access::Read => self.gatekeeper.require_key_or_session(head, local)?,
            Access::Key => self.gatekeeper.require_key(head)?,
            Access::LocalKey => {
                self.gatekeeper.require_key(head)?;
                require_local(head)?;
            }
        }
        match route.endpoint {
            Endpoint::Data => self.post_data(head, body).await,
            Endpoint::Series => self.post_series(head, body).await,
            Endpoint::Batch => self.post_batch(head, body).await,
            Endpoint::StreamRecord => self.put_record(head, body).await,
            Endpoint::Statistics => self.statistics(head).await,
            Endpoint::Health => Ok(json(StatusCode::OK, &self.stream_health.read(Instant::now()))),
            Endpoint::Devices => self.devices(head).await,
            Endpoint::Pipeline => self.pipeline(head).await,
            Endpoint::Fleet => self.fleet(head).await,
            Endpoint::Events => self.events(head).await,
            Endpoint::DeadLetters => self.list_dead_letters(head).await,
            Endpoint::DeleteDeadLetters => self.delete_dead_letters(head, body).await,
            Endpoint::ShowDeadLetter => self.show_dead_letter(head).await,
            Endpoint::SummariseDeadLetters => self.summarise_dead_letters(head).await,
            Endpoint::PreviewDeadLetters => self.run_dead_letters(head, body, false).await,
            Endpoint::RedriveDeadLetters => self.run_dead_letters(head, body, true).await,
            Endpoint::Backup => self.backup(head, body).await,
            Endpoint::Recent => self.recent_activity(head).await,
            Endpoint::History => self.history(head).await,
            Endpoint::Dashboard => Ok(self.page(Page::Dashboard, head, local).await),
            Endpoint::DeadLetterPage => Ok(self.page(Page::DeadLetters, head, local).await),
            Endpoint::DashboardFile => crate::page::file(head.uri.path()),
            Endpoint::Login => self.login(head, body).await,
            Endpoint::Document => Ok(self.document()),
        }
    }

    fn document(&self) -> Answer {
        let text = crate::document::served_until(self.horizon());
        bytes_answer(StatusCode::OK, "application/yaml", text.into())
    }
}
