//! The function: the real aggregator, in an environment that fails.

use crate::ministack::faults::chaos::Chaos;
use crate::ministack::faults::fault::Event;
use aggregator::Aggregator;
use aws::{DynamoDbStatisticsStore, S3Archive, SqsDeadLetterQueue};
use event_source_mapping::{Batch, Function, FunctionError, Verdict};
use ports::SystemClock;
use simulation::Random;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

type Handler = Aggregator<DynamoDbStatisticsStore, SqsDeadLetterQueue<S3Archive>, SystemClock>;

/// Invokes the aggregator; in a storm one invocation in `one_in` goes wrong.
pub struct Lambda {
    pub handler: Handler,
    pub chaos: Arc<Chaos>,
    pub chance: Mutex<Random>,
    pub one_in: usize,
}

/// Notes that an invocation's answer was no longer waited for.
struct Awaited<'a>(Option<&'a Chaos>);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if let Some(chaos) = self.0 {
            chaos.event(Event::InvocationTimeOut);
        }
    }
}

impl Lambda {
    async fn handle(handler: &Handler, chaos: &Chaos, batch: &Batch) -> Result<Verdict, FunctionError> {
        let handled = handler.handle(batch).await;
        if handled.report.counted > 0 {
            chaos.event(Event::Counted);
        }
        if !handled.failed.is_empty() {
            chaos.event(Event::PartialResponse);
        }
        Ok(Verdict::of_failed(&handled.failed, batch))
    }

    /// What goes wrong with this invocation, and after how long.
    fn choose(&self) -> (Option<Event>, Duration) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = [Event::NotInvoked, Event::InvocationCrash, Event::InvocationKeptRunning, Event::ResponseLost];
        let wrong = (!self.chaos.is_calm() && chance.one_in(self.one_in)).then(|| chance.pick(&kinds));
        wrong.inspect(|event| self.chaos.event(*event));
        (wrong, Duration::from_millis(chance.below(60) as u64))
    }
}

impl Function for Lambda {
    async fn invoke(&self, batch: &Batch) -> Result<Verdict, FunctionError> {
        let unhandled = |why: &str| Err(FunctionError::Unhandled(why.into()));
        let (wrong, after) = self.choose();
        let (handler, chaos, batch) = (self.handler.clone(), Arc::clone(&self.chaos), batch.clone());
        match wrong {
            Some(Event::NotInvoked) => return Err(FunctionError::NotInvoked("throttled".into())),
            Some(Event::InvocationCrash) => {
                // Dropped wherever it stands.
                _ = tokio::time::timeout(after, Self::handle(&handler, &chaos, &batch)).await;
                return unhandled("crashed");
            }
            _ => {}
        }
        // It lives on whoever waits for it: Lambda's invocations do not die with the poller.
        let (answer, answered) = oneshot::channel();
        self.chaos.detach(async move { _ = answer.send(Self::handle(&handler, &chaos, &batch).await) });
        if wrong == Some(Event::InvocationKeptRunning) {
            tokio::time::sleep(after).await;
            return unhandled("gave no answer");
        }
        let mut awaited = Awaited(Some(&self.chaos));
        let answer = answered.await;
        awaited.0 = None;
        match wrong {
            None => answer.unwrap_or_else(|_| unhandled("panicked")),
            Some(_) => unhandled("the response was lost"),
        }
    }
}
