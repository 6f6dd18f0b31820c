//! The wire on which faults happen: which call they befall is chosen by a seed, by the call's number among those of
//! its operation.

use crate::ministack::faults::fault::{Coverage, Event, Fault, Operation};
use crate::ministack::faults::lie::Lie;
use crate::ministack::faults::{entries, refusal};
use crate::wire::{self, Answered, ConnectorError, HttpRequest, HttpResponse, Service, Wire, collected};
use aws::aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use serde_json::json;
use simulation::Random;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a call hangs: longer than a storm's function may take.
pub const HANGS: Duration = Duration::from_millis(600);

/// Faults, by a seed, while the storm lasts.
#[derive(Debug)]
pub struct Chaos {
    seed: u64,
    /// A call fails once in so many times.
    one_in: usize,
    calm: AtomicBool,
    lie: Option<Lie>,
    calls: Mutex<BTreeMap<Operation, Calls>>,
    coverage: Mutex<Coverage>,
    /// What nobody waits for any more, and happens all the same.
    late: Mutex<JoinSet<()>>,
    journal: Mutex<Vec<String>>,
}

/// The calls of one operation.
#[derive(Debug, Default)]
struct Calls {
    made: u64,
    failed: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chaos {
    pub fn new(seed: u64, one_in: usize, lie: Option<Lie>) -> Arc<Self> {
        Arc::new(Chaos {
            seed,
            one_in,
            calm: AtomicBool::new(false),
            lie,
            calls: Mutex::default(),
            coverage: Mutex::default(),
            late: Mutex::default(),
            journal: Mutex::default(),
        })
    }

    /// From now on nothing goes wrong, or again does.
    pub fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::Relaxed);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub fn event(&self, event: Event) {
        lock(&self.coverage).event(event);
    }

    pub fn coverage(&self) -> Coverage {
        lock(&self.coverage).clone()
    }

    /// What went wrong, in order.
    pub fn journal(&self) -> Vec<String> {
        lock(&self.journal).clone()
    }

    pub fn note(&self, line: String) {
        lock(&self.journal).push(line);
    }

    /// Lets something happen that nobody waits for.
    pub fn detach(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.late).spawn(task);
    }

    /// Waits until all that nobody waits for has happened.
    pub async fn settle(&self) {
        loop {
            let mut late = std::mem::take(&mut *lock(&self.late));
            if late.is_empty() {
                return;
            }
            while late.join_next().await.is_some() {}
        }
    }

    /// What goes wrong with the next call of this operation, and the chances of its details. Kinds take turns, begun
    /// at another one by each seed, so that a few schedules have seen them all.
    fn choose(&self, operation: Operation) -> (Option<Fault>, Random) {
        let mut all = lock(&self.calls);
        let calls = all.entry(operation).or_default();
        calls.made += 1;
        let of_call = self.seed ^ calls.made << 16 ^ (operation as u64) << 56;
        let mut chance = Random::new(Random::new(of_call).bits());
        let mut coverage = lock(&self.coverage);
        coverage.call(operation);
        if self.is_calm() || !chance.one_in(self.one_in) {
            return (None, chance);
        }
        let kinds = operation.faults();
        let fault = kinds[((self.seed + calls.failed) % kinds.len() as u64) as usize];
        calls.failed += 1;
        coverage.fault(operation, fault);
        self.note(format!("{} {}: {}", operation.text(), calls.made, fault.text()));
        (Some(fault), chance)
    }

    /// Passes the call on, and notes what came of it.
    async fn pass_on(&self, operation: Operation, request: HttpRequest, service: &Service) -> Answered {
        let response = collected(service.call(request).await?).await?;
        if let Some(event) = told(operation, &response) {
            self.event(event);
        }
        Ok(response)
    }

    /// The same call again, later, whatever becomes of the first.
    fn arrives_later(self: &Arc<Self>, operation: Operation, request: &HttpRequest, service: &Service, wait: Duration) {
        let Some(request) = request.try_clone() else { return };
        let (this, service) = (Arc::clone(self), service.clone());
        self.detach(async move {
            tokio::time::sleep(wait).await;
            // Nobody hears the answer.
            _ = this.pass_on(operation, request, &service).await;
        });
    }

    async fn go_wrong(
        self: &Arc<Self>,
        operation: Operation,
        fault: Fault,
        mut chance: Random,
        mut request: HttpRequest,
        service: &Service,
    ) -> Answered {
        let wait = Duration::from_millis(chance.between(1, 300) as u64);
        match fault {
            Fault::ConnectionReset => Err(reset()),
            Fault::TimedOut => Err(timed_out()),
            Fault::ReplyLost => {
                _ = self.pass_on(operation, request, service).await;
                Err(reset())
            }
            Fault::Hangs => {
                tokio::time::sleep(HANGS).await;
                self.pass_on(operation, request, service).await
            }
            Fault::Late => {
                self.arrives_later(operation, &request, service, wait);
                Err(timed_out())
            }
            Fault::Twice => {
                self.arrives_later(operation, &request, service, wait);
                self.pass_on(operation, request, service).await
            }
            Fault::CutShort => {
                let limit = if operation == Operation::ListShards { "MaxResults" } else { "Limit" };
                let mut body = wire::request_json(&request);
                body[limit] = json!(1);
                replace_body(&mut request, &body);
                self.pass_on(operation, request, service).await
            }
            Fault::PartlyFailed => {
                let parts = entries::fail_some(operation, &wire::request_json(&request), &mut chance);
                let answer = match &parts.rest {
                    Some(rest) => {
                        replace_body(&mut request, rest);
                        Some(self.pass_on(operation, request, service).await?)
                    }
                    None => None,
                };
                Ok(parts.answer(answer))
            }
            Fault::Throttled
            | Fault::InternalError
            | Fault::Unavailable
            | Fault::TransactionConflict
            | Fault::IteratorExpired => Ok(refusal::of(operation, fault, &request, &mut chance)),
        }
    }
}

impl Wire for Chaos {
    async fn call(self: Arc<Self>, request: HttpRequest, service: Service) -> Answered {
        let Some(operation) = Operation::of(&request) else { return service.call(request).await };
        let (fault, chance) = self.choose(operation);
        let answered = match fault {
            Some(fault) => self.go_wrong(operation, fault, chance, request, &service).await,
            None => self.pass_on(operation, request, &service).await,
        };
        match self.lie {
            Some(lie) => lie.told(operation, answered),
            None => answered,
        }
    }
}

/// What an answer says that happened.
fn told(operation: Operation, response: &HttpResponse) -> Option<Event> {
    let body = response.body().bytes().unwrap_or_default();
    let says = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    match (operation, response.status().is_success()) {
        (Operation::PutItem, true) => Some(Event::PlainWrite),
        (Operation::TransactWriteItems, true) => Some(Event::Transaction),
        (Operation::PutItem, false) if says("ConditionalCheckFailed") => Some(Event::ConditionFailed),
        (Operation::TransactWriteItems, false) if says("ConditionalCheckFailed") => {
            Some(Event::TransactionConditionFailed)
        }
        (Operation::Query, true) if says("\"page\"") => Some(Event::PagesFound),
        _ => None,
    }
}

fn replace_body(request: &mut HttpRequest, body: &serde_json::Value) {
    let body = body.to_string();
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
}

fn reset() -> ConnectorError {
    ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
}

fn timed_out() -> ConnectorError {
    ConnectorError::timeout(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
}
