//! The ports as the code under test sees them: every call waits until the scheduler lets it take effect, and waits
//! again until the scheduler lets its answer arrive.

use ports::{
    Clock, DeadLetter, DeadLetterError, DeadLetterQueue, DeviceWrite, LedgerKeys, LedgerPart, StatisticsItem,
    StatisticsStore, StoreError, WriteError,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use telemetry::{DeviceId, Timestamp};

/// What was asked of a port.
#[derive(Debug)]
pub(crate) enum Request {
    ReadStatistics(Vec<DeviceId>),
    /// The same of one device, whose state was cached or written meanwhile.
    ReadAgain(DeviceId),
    ReadLedger(DeviceId, LedgerKeys, Option<String>),
    Write(Box<DeviceWrite>),
    Send(Vec<DeadLetter>),
}

/// A port's answer.
#[derive(Debug)]
pub(crate) enum Reply {
    Statistics(Vec<Result<Option<StatisticsItem>, StoreError>>),
    Item(Result<Option<StatisticsItem>, StoreError>),
    Ledger(Result<LedgerPart, StoreError>),
    Written(Result<(), WriteError>),
    Sent(Vec<Result<(), DeadLetterError>>),
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Operation {
    pub id: u64,
    pub invocation: usize,
    pub request: Request,
    pub reply: Option<Reply>,
    pub arrived: bool,
    /// Nobody waits for the answer any more.
    pub orphan: bool,
    waker: Option<Waker>,
}

impl Operation {
    /// Lets the answer arrive.
    pub fn arrive(&mut self) {
        self.arrived = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What ports and scheduler share.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub now_ns: i128,
    pub behind_ns: i128,
    /// The invocation that is being polled: whoever calls a port meanwhile is it.
    pub invocation: usize,
    pub operations: Vec<Operation>,
    next_id: u64,
}

/// All three ports of the aggregator.
#[derive(Debug, Clone)]
pub(crate) struct Virtual(Arc<Mutex<Exchange>>);

impl Virtual {
    pub fn new(now_ns: i128, behind_ns: i128) -> Self {
        let exchange = Exchange { now_ns, behind_ns, invocation: 0, operations: Vec::new(), next_id: 0 };
        Virtual(Arc::new(Mutex::new(exchange)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Exchange> {
        // One thread runs a schedule; a poisoned lock is that thread's own panic, on its way out.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn call(&self, request: Request) -> Call {
        Call { exchange: self.clone(), request: Some(request), id: 0 }
    }
}

struct Call {
    exchange: Virtual,
    request: Option<Request>,
    id: u64,
}

impl Future for Call {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let exchange = self.exchange.clone();
        let mut exchange = exchange.lock();
        if let Some(request) = self.request.take() {
            self.id = exchange.next_id;
            exchange.next_id += 1;
            let (id, invocation) = (self.id, exchange.invocation);
            let waker = Some(context.waker().clone());
            exchange.operations.push(Operation {
                id,
                invocation,
                request,
                reply: None,
                arrived: false,
                orphan: false,
                waker,
            });
            return Poll::Pending;
        }
        let Some(at) = exchange.operations.iter().position(|operation| operation.id == self.id) else {
            return Poll::Pending;
        };
        if exchange.operations[at].arrived
            && let Some(reply) = exchange.operations[at].reply.take()
        {
            exchange.operations.remove(at);
            return Poll::Ready(reply);
        }
        exchange.operations[at].waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.request.is_some() {
            return;
        }
        let mut exchange = self.exchange.lock();
        if let Some(operation) = exchange.operations.iter_mut().find(|operation| operation.id == self.id) {
            operation.orphan = true;
            operation.waker = None;
        }
    }
}

impl StatisticsStore for Virtual {
    async fn read_statistics(&self, devices: &[DeviceId]) -> Vec<Result<Option<StatisticsItem>, StoreError>> {
        match self.call(Request::ReadStatistics(devices.to_vec())).await {
            Reply::Statistics(results) => results,
            _ => unreachable!("the scheduler answers what was asked"),
        }
    }

    async fn read_device(&self, device_id: &DeviceId) -> Result<Option<StatisticsItem>, StoreError> {
        match self.call(Request::ReadAgain(device_id.clone())).await {
            Reply::Item(result) => result,
            _ => unreachable!("the scheduler answers what was asked"),
        }
    }

    async fn read_ledger(
        &self,
        device_id: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> Result<LedgerPart, StoreError> {
        match self.call(Request::ReadLedger(device_id.clone(), keys.clone(), after.map(str::to_owned))).await {
            Reply::Ledger(result) => result,
            _ => unreachable!("the scheduler answers what was asked"),
        }
    }

    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        match self.call(Request::Write(Box::new(write))).await {
            Reply::Written(result) => result,
            _ => unreachable!("the scheduler answers what was asked"),
        }
    }
}

impl DeadLetterQueue for Virtual {
    async fn send(&self, letters: Vec<DeadLetter>) -> Vec<Result<(), DeadLetterError>> {
        match self.call(Request::Send(letters)).await {
            Reply::Sent(results) => results,
            _ => unreachable!("the scheduler answers what was asked"),
        }
    }
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let exchange = self.lock();
        // Schedules play in the years 2026 to 2030.
        Timestamp::from_nanosecond(exchange.now_ns - exchange.behind_ns).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

pub(crate) fn injected() -> Box<dyn std::error::Error + Send + Sync> {
    "injected fault".into()
}
